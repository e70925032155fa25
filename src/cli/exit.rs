//! The documented exit codes.

/// How a call of amlrun ends, as the shell sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All done.
    Done,
    /// A job failed.
    JobFailed,
    /// Usage, or a fault in the Amlfile.
    Usage,
    /// The world: store, network, engine, disk.
    World,
    /// Nothing matched.
    NothingMatched,
    /// `status --exit-code`: something is stale.
    Stale,
    /// Interrupted.
    Interrupted,
}

impl Exit {
    /// The number.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::JobFailed => 1,
            Self::Usage => 2,
            Self::World => 3,
            Self::NothingMatched => 4,
            Self::Stale => 5,
            Self::Interrupted => 130,
        }
    }
}
