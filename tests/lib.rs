//! Holds no code of its own: what this package tests is in the files beside.
