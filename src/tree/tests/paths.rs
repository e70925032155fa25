//! Content at paths: inputs and outputs.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::*;
use crate::content::{Content, decode, encode};
use crate::digest::Digest;

#[test]
fn a_file_is_its_bytes_and_its_exec_bit() {
    let field = Field::new(&["data/a"]);
    let file = Content { kind: Kind::File, digest: Digest::of(b"data/a"), size: 6 };
    assert_eq!(field.content("data/a"), file);
    field.mode("data/a", 0o744);
    assert_eq!(field.content("data/a"), Content { kind: Kind::Executable, ..file });
    field.mode("data/a", 0o655);
    assert_eq!(field.content("data/a"), file, "only the owner's bit counts");
    assert_eq!(field.content(field.at("data/a").to_str().unwrap()), file, "absolute");
    assert_eq!(field.content("data/../data/./a"), file, "by a detour");
    assert_eq!(field.measure("data/a").unwrap().unwrap().files, 1);
}

#[test]
fn nothing_is_there() {
    let field = Field::new(&["a"]);
    field.link("broken", "none");
    for path in ["none", "none/x", "a/x", "broken"] {
        assert_eq!(field.measure(path).unwrap(), None, "{path}");
        assert_eq!(field.ground().stamp(Path::new(path)).unwrap(), None, "{path}");
    }
}

#[test]
fn a_folder_is_the_digest_of_its_node() {
    let field = Field::new(&["data/b", "data/a/x", "data/a/y", "data/.hidden", "data/.git/HEAD"]);
    field.folder("data/empty");
    field.mode("data/a/x", 0o755);
    let listed = field.list(What::Path(Path::new("data")));
    assert_eq!(listed, [".git/", ".git/HEAD", ".hidden", "a/", "a/x*", "a/y", "b", "empty/"]);
    let (measured, folders) = field.ground().folders(What::Path(Path::new("data")), &Reads::default()).unwrap();
    assert_eq!(measured.content, field.content("data"));
    assert_eq!(measured.files, 5);
    assert_eq!(folders.iter().map(|f| f.path.to_string()).collect::<Vec<_>>(), [".", ".git", "a", "empty"]);
    assert_eq!(measured.content.digest, Digest::of(&encode(&folders[0].entries)));
    assert_eq!(decode(&encode(&folders[0].entries)).as_ref(), Some(&folders[0].entries));
    let a = folders[0].entries.iter().find(|entry| entry.name == b"a").unwrap();
    assert_eq!((a.digest, a.size), (Digest::of(&encode(&folders[2].entries)), 16));
    assert_eq!(measured.content.size, folders[0].entries.iter().map(|entry| entry.size).sum::<u64>());
    let (file, none) = field.ground().folders(What::Path(Path::new("data/b")), &Reads::default()).unwrap();
    assert_eq!((file.content, none.len()), (field.content("data/b"), 0));
    assert!(field.ground().folders(What::Path(Path::new("none")), &Reads::default()).is_err());
}

#[test]
fn the_workspace_itself_is_measured_without_its_state() {
    let field = Field::new(&["a", ".amlrun/objects/x", "sub/.amlrun/y", "Amlfile"]);
    let want = ["Amlfile", "a", "sub/", "sub/.amlrun/", "sub/.amlrun/y"];
    for path in ["", ".", "sub/.."] {
        assert_eq!(field.list(What::Path(Path::new(path))), want, "{path:?}");
    }
}

#[test]
fn names_are_bytes() {
    let field = Field::new(&[]);
    let names: [&[u8]; 5] = [b"\xff\xfe", b"new\nline", b" ", "gr\u{f6}\u{df}e".as_bytes(), &[b'x'; 255]];
    for name in names {
        field.write(Path::new("data").join(OsStr::from_bytes(name)), "text");
    }
    let (measured, folders) = field.ground().folders(What::Path(Path::new("data")), &Reads::default()).unwrap();
    let mut sorted = names.to_vec();
    sorted.sort_unstable();
    assert_eq!(folders[0].entries.iter().map(|entry| entry.name.as_slice()).collect::<Vec<_>>(), sorted);
    assert_eq!(measured.files, 5);
    let one = field.at(Path::new("data").join(OsStr::from_bytes(b"\xff\xfe")));
    assert_eq!(field.ground().measure(&[one], &Reads::default()).len(), 1);
}

#[test]
fn answers_come_in_the_order_of_the_questions() {
    let names: Vec<String> = (0..2000).map(|n| format!("out/{}/{n}", n % 7)).collect();
    let field = Field::new(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let mut paths: Vec<PathBuf> = names.iter().rev().map(PathBuf::from).collect();
    paths.push("none".into());
    paths.push("out/3".into());
    paths.push("out/0/0".into());
    paths.push("out/no\0".into());
    let ground = field.ground();
    for _ in 0..2 {
        let mut answers = ground.measure(&paths, &Reads::default());
        assert!(answers.pop().unwrap().is_err());
        assert_eq!(answers.pop().unwrap().unwrap().unwrap().content.digest, Digest::of(b"out/0/0"));
        assert_eq!(answers.pop().unwrap().unwrap().unwrap().files, 286);
        assert_eq!(answers.pop().unwrap().unwrap(), None);
        for (path, answer) in paths.iter().zip(answers) {
            let want = Digest::of(path.as_os_str().as_bytes());
            assert_eq!(answer.unwrap().unwrap().content.digest, want, "{}", path.display());
        }
    }
}

#[test]
fn a_wide_folder_and_a_large_file_are_the_same_by_many_threads() {
    let names: Vec<String> = (0..3000).map(|n| format!("data/{n}")).collect();
    let field = Field::new(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let bytes: Vec<u8> = (0..9_000_001u32).map(|n| (n % 253) as u8).collect();
    File::create(field.at("data/large")).unwrap().write_all(&bytes).unwrap();
    let (measured, folders) = field.ground().folders(What::Path(Path::new("data")), &Reads::default()).unwrap();
    assert_eq!(measured.files, 3001);
    for entry in &folders[0].entries {
        let want = if entry.name == b"large" {
            Digest::of(&bytes)
        } else {
            Digest::of(&[b"data/", entry.name.as_slice()].concat())
        };
        assert_eq!(entry.digest, want, "{:?}", entry.name);
    }
    assert_eq!(field.content("data/large").digest, Digest::of(&bytes));
}

#[test]
fn what_has_no_content_is_a_fault_that_names_it() {
    let field = Field::new(&["data/a"]);
    let fifo = field.at("data/pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(field.at("data/sock")).unwrap();
    let error = field.measure("data").unwrap_err();
    assert_eq!(error.path, fifo, "the first by name: {error}");
    assert!(error.to_string().contains("a FIFO"), "{error}");
    assert!(field.measure("data/sock").unwrap_err().to_string().contains("a socket"));
    assert!(field.measure("/dev/null").unwrap_err().to_string().contains("a device"));
}

#[test]
fn what_cannot_be_read_is_a_fault_that_names_it() {
    let field = Field::new(&["data/a", "data/b/c"]);
    field.mode("data/a", 0);
    field.mode("data/b", 0);
    // Root reads everything: for it there is nothing to test here.
    if File::open(field.at("data/a")).is_err() {
        assert_eq!(field.measure("data").unwrap_err().path, field.at("data/a"));
        assert_eq!(field.measure("data/a").unwrap_err().path, field.at("data/a"));
        assert_eq!(field.measure("data/b").unwrap_err().path, field.at("data/b"));
    }
    field.mode("data/b", 0o755);
}

#[test]
fn a_deep_tree_needs_no_deep_stack() {
    let field = Field::new(&[]);
    let deep: PathBuf = std::iter::once("data").chain(std::iter::repeat_n("d", 1500)).collect();
    field.write(deep.join("x"), "x");
    assert_eq!(field.measure("data").unwrap().unwrap().files, 1);
}

#[test]
fn a_folder_that_changes_all_the_time_is_told_or_measured_but_never_half() {
    let field = Field::new(&["data/a", "data/z"]);
    let (moving, still) = (field.at("data/m"), field.content("data"));
    fs::copy(field.at("data/a"), &moving).unwrap();
    let with = field.content("data");
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                fs::remove_file(&moving).unwrap();
                fs::copy(field.at("data/a"), field.at("other")).unwrap();
                fs::rename(field.at("other"), &moving).unwrap();
            }
        });
        for _ in 0..300 {
            match field.measure("data") {
                Ok(measured) => assert!([still, with].contains(&measured.unwrap().content)),
                Err(error) => assert_eq!(error.path, moving, "{error}"),
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}
