//! A series as bytes: three columns, each of small differences, so that a usual curve takes about ten bytes a point.
//!
//! ```text
//! 1  n  at: n signed varints, differences   step: n signed varints, differences of differences   value: n times
//!                                           a byte (zero bytes in front × 16 + zero bytes behind) and what is between,
//!                                           of the bits that differ from the value before
//! ```

use super::{Point, Series};

const VERSION: u8 = 1;

/// A series as bytes.
#[must_use]
pub fn encode(points: &[Point]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(points.len() * 11 + 10);
    bytes.push(VERSION);
    varint(&mut bytes, points.len() as u64);
    let mut before = 0;
    for point in points {
        let at = point.at.cast_signed();
        varint(&mut bytes, zigzag(at.wrapping_sub(before)));
        before = at;
    }
    let (mut before, mut slope) = (0_i64, 0_i64);
    for point in points {
        let new = point.step.wrapping_sub(before);
        varint(&mut bytes, zigzag(new.wrapping_sub(slope)));
        (before, slope) = (point.step, new);
    }
    let mut before = 0;
    for point in points {
        let bits = point.value.to_bits();
        let differ = (bits ^ before).to_be_bytes();
        before = bits;
        let front = differ.iter().take_while(|byte| **byte == 0).count();
        let behind = if front == 8 { 0 } else { differ.iter().rev().take_while(|byte| **byte == 0).count() };
        bytes.push(u8::try_from(front * 16 + behind).unwrap_or_default());
        bytes.extend_from_slice(differ.get(front..8 - behind).unwrap_or_default());
    }
    bytes
}

/// The series of such bytes; none where they are damaged.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<Vec<Point>> {
    let (version, mut rest) = bytes.split_first()?;
    if *version != VERSION {
        return None;
    }
    let count = usize::try_from(read_varint(&mut rest)?).ok()?;
    if count > rest.len() {
        return None; // every point takes at least three bytes
    }
    let mut points = Vec::with_capacity(count);
    let mut before = 0_i64;
    for _ in 0..count {
        before = before.wrapping_add(unzigzag(read_varint(&mut rest)?));
        points.push(Point { at: before.cast_unsigned(), step: 0, value: 0.0 });
    }
    let (mut before, mut slope) = (0_i64, 0_i64);
    for point in &mut points {
        slope = slope.wrapping_add(unzigzag(read_varint(&mut rest)?));
        before = before.wrapping_add(slope);
        point.step = before;
    }
    let mut before = 0_u64;
    for point in &mut points {
        let (head, tail) = rest.split_first()?;
        let (front, behind) = (usize::from(head >> 4), usize::from(head & 15));
        let (middle, tail) = tail.split_at_checked(8_usize.checked_sub(front + behind)?)?;
        let mut differ = [0; 8];
        differ.get_mut(front..8 - behind)?.copy_from_slice(middle);
        before ^= u64::from_be_bytes(differ);
        point.value = f64::from_bits(before);
        rest = tail;
    }
    rest.is_empty().then_some(points)
}

/// Several series as bytes: for each its child (empty: the run itself), its name and its points, each after its length.
#[must_use]
pub fn pack(series: &[Series]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for one in series {
        let points = encode(&one.points);
        for part in [one.of.as_deref().unwrap_or_default().as_bytes(), one.name.as_bytes(), &points] {
            varint(&mut bytes, part.len() as u64);
            bytes.extend_from_slice(part);
        }
    }
    bytes
}

/// The series of such bytes; none where they are damaged.
#[must_use]
pub fn unpack(bytes: &[u8]) -> Option<Vec<Series>> {
    let (mut rest, mut all) = (bytes, Vec::new());
    let mut part = || {
        let length = usize::try_from(read_varint(&mut rest)?).ok()?;
        let (part, tail) = rest.split_at_checked(length)?;
        rest = tail;
        Some((part, rest.is_empty()))
    };
    if bytes.is_empty() {
        return Some(all);
    }
    loop {
        let text = |part: &[u8]| std::str::from_utf8(part).ok().map(str::to_owned);
        let of = text(part()?.0)?;
        let name = text(part()?.0)?;
        let (points, is_last) = part()?;
        all.push(Series { of: (!of.is_empty()).then_some(of), name, points: decode(points)? });
        if is_last {
            return Some(all);
        }
    }
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -((number & 1).cast_signed())
}

fn varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push((number & 0x7f) as u8);
}

fn read_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, tail) = rest.split_first()?;
        *rest = tail;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}
