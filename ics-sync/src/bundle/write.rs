//! Making a bundle.

use std::io::{self, Write};

use ics_core::log::checkpoint::Origin;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{Cursor, Earlier, Head, MAGIC, kind};
use crate::packed;
use crate::wire::{Descriptors, Page, Refusals, Submission};

/// Writes a bundle, part by part; readers refuse one that is not finished.
#[derive(Debug)]
pub struct BundleWriter<W> {
    out: W,
    digest: Sha256,
}

impl<W: Write> BundleWriter<W> {
    /// Begins a bundle.
    ///
    /// # Errors
    /// When it cannot be written, as for all methods that follow.
    pub fn begin(out: W, head: &Head) -> io::Result<Self> {
        let mut writer = Self { out, digest: Sha256::new() };
        writer.write(&MAGIC)?;
        writer.json(kind::HEAD, head)?;
        Ok(writer)
    }

    /// Begins the section of this domain.
    ///
    /// # Errors
    /// See [`Self::begin`].
    pub fn domain(&mut self, origin: &Origin) -> io::Result<()> {
        self.json(kind::DOMAIN, origin)
    }

    /// Writes how far this node's copy of the domain is.
    ///
    /// # Errors
    /// See [`Self::begin`].
    pub fn cursor(&mut self, cursor: &Cursor) -> io::Result<()> {
        self.json(kind::CURSOR, cursor)
    }

    /// Writes descriptors of the domain.
    ///
    /// # Errors
    /// See [`Self::begin`].
    pub fn descriptors(&mut self, descriptors: &Descriptors) -> io::Result<()> {
        self.json(kind::DESCRIPTORS, descriptors)
    }

    /// Writes the checkpoint to which the pages lead.
    ///
    /// # Errors
    /// See [`Self::begin`].
    pub fn checkpoint(&mut self, note: &str) -> io::Result<()> {
        self.part(kind::CHECKPOINT, note.as_bytes())
    }

    /// Writes the next page.
    ///
    /// # Errors
    /// See [`Self::begin`].
    pub fn page(&mut self, page: &Page) -> io::Result<()> {
        let packed = packed::pack(page);
        match packed::compress(&packed) {
            Some(compressed) => self.part(kind::COMPRESSED_PAGE, &compressed),
            None => self.part(kind::PAGE, &packed),
        }
    }

    /// Writes entries before the pages.
    ///
    /// # Errors
    /// See [`Self::begin`].
    pub fn earlier(&mut self, earlier: &Earlier) -> io::Result<()> {
        self.json(kind::EARLIER, earlier)
    }

    /// Writes what is submitted to the domain.
    ///
    /// # Errors
    /// See [`Self::begin`].
    pub fn submission(&mut self, submission: &Submission) -> io::Result<()> {
        self.json(kind::SUBMISSION, submission)
    }

    /// Writes what was submitted to the domain and refused.
    ///
    /// # Errors
    /// See [`Self::begin`].
    pub fn refusals(&mut self, refusals: &Refusals) -> io::Result<()> {
        self.json(kind::REFUSALS, refusals)
    }

    /// Ends the bundle.
    ///
    /// # Errors
    /// See [`Self::begin`].
    pub fn finish(mut self) -> io::Result<W> {
        let digest = self.digest.clone().finalize();
        self.part(kind::END, &digest)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn json(&mut self, kind: u8, value: &impl Serialize) -> io::Result<()> {
        self.part(kind, &serde_json::to_vec(value)?)
    }

    fn part(&mut self, kind: u8, bytes: &[u8]) -> io::Result<()> {
        let mut frame = vec![kind];
        packed::number(&mut frame, bytes.len() as u64);
        self.write(&frame)?;
        self.write(bytes)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.digest.update(bytes);
        self.out.write_all(bytes)
    }
}
