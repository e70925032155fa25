//! The one place with `unsafe`: system calls that neither std nor rustix offers.
