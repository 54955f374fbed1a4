//! Bodies that are archives: known by their first bytes, never by what a header says.

use std::borrow::Cow;
use std::io::{Cursor, Read};

use flate2::bufread::MultiGzDecoder;
use zip::ZipArchive;
use zip::result::ZipError;

/// A ZIP archive begins with its first file, or with its end where it has none.
const ZIP: [&[u8]; 2] = [b"PK\x03\x04", b"PK\x05\x06"];
const GZIP: &[u8] = b"\x1f\x8b";
/// What an archive announces is a hint and not yet a reason to take memory.
const MOST_RESERVED: u64 = 1 << 20;

/// Why an archive could not be unpacked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unpackable {
    /// Cut off, or no archive after all.
    #[error("a broken {kind}: {why}")]
    Broken {
        /// What it began as.
        kind: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// There is no file in it.
    #[error("an archive without a file")]
    Empty,
    /// Its file needs a password.
    #[error("an encrypted archive")]
    Encrypted,
    /// It unpacks to more than is allowed.
    #[error("an archive that unpacks to more than {most} bytes (`api.max_body`)")]
    TooLarge {
        /// How much is allowed.
        most: u64,
    },
}

/// Whether the body is an archive, as far as its first bytes tell.
pub(crate) fn is_packed(body: &[u8]) -> bool {
    body.starts_with(GZIP) || ZIP.iter().any(|magic| body.starts_with(magic))
}

/// The body itself, or what is in it where it is a ZIP archive (its first file) or a gzip file; at most `most` bytes.
///
/// # Errors
/// An archive that is broken, empty, encrypted or too large.
pub fn unpack(body: &[u8], most: u64) -> Result<Cow<'_, [u8]>, Unpackable> {
    if ZIP.iter().any(|magic| body.starts_with(magic)) {
        return first_file(body, most).map(Cow::Owned);
    }
    if body.starts_with(GZIP) {
        return read(MultiGzDecoder::new(body), "gzip file", 0, most).map(Cow::Owned);
    }
    Ok(Cow::Borrowed(body))
}

fn first_file(body: &[u8], most: u64) -> Result<Vec<u8>, Unpackable> {
    let mut archive = ZipArchive::new(Cursor::new(body)).map_err(broken_zip)?;
    for index in 0..archive.len() {
        let file = archive.by_index(index).map_err(broken_zip)?;
        if file.is_file() {
            let announced = file.size();
            return read(file, "ZIP archive", announced, most);
        }
    }
    Err(Unpackable::Empty)
}

fn read(packed: impl Read, kind: &'static str, announced: u64, most: u64) -> Result<Vec<u8>, Unpackable> {
    let reserved = announced.min(most).min(MOST_RESERVED);
    let mut whole = Vec::with_capacity(usize::try_from(reserved).unwrap_or(0));
    let read = packed.take(most.saturating_add(1)).read_to_end(&mut whole);
    if whole.len() as u64 > most {
        return Err(Unpackable::TooLarge { most });
    }
    read.map_err(|error| Unpackable::Broken { kind, why: error.to_string() })?;
    Ok(whole)
}

fn broken_zip(error: ZipError) -> Unpackable {
    match error {
        ZipError::UnsupportedArchive(ZipError::PASSWORD_REQUIRED) => Unpackable::Encrypted,
        error => Unpackable::Broken { kind: "ZIP archive", why: error.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    const MOST: u64 = 1 << 20;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).expect("memory");
        encoder.finish().expect("memory")
    }

    fn zipped(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, text) in files {
            if name.ends_with('/') {
                writer.add_directory(*name, SimpleFileOptions::default()).expect("memory");
                continue;
            }
            let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
            writer.start_file(*name, options).expect("memory");
            writer.write_all(text).expect("memory");
        }
        writer.finish().expect("memory").into_inner()
    }

    fn why(body: &[u8], most: u64) -> String {
        unpack(body, most).expect_err("no body").to_string()
    }

    #[test]
    fn what_is_no_archive_is_itself() {
        for body in [&b""[..], b"{}", b"PK", b"P", b"\x1f", b"\"a\",\"b\"\n", b"PK\x01\x02"] {
            assert_eq!(unpack(body, 0), Ok(Cow::Borrowed(body)));
        }
    }

    #[test]
    fn archives_are_known_by_their_first_bytes() {
        assert_eq!(unpack(&gzip(b"{\"a\":1}"), MOST).as_deref(), Ok(&b"{\"a\":1}"[..]));
        let members = [gzip(b"one "), gzip(b"two")].concat();
        assert_eq!(unpack(&members, MOST).as_deref(), Ok(&b"one two"[..]), "as some write them");
        assert_eq!(unpack(&gzip(b""), MOST).as_deref(), Ok(&b""[..]));
        let files: [(&str, &[u8]); 3] = [("reports/", b""), ("reports/a.csv", b"a,b\n"), ("b.csv", b"c\n")];
        assert_eq!(unpack(&zipped(&files), MOST).as_deref(), Ok(&b"a,b\n"[..]), "the first file");
        assert_eq!(unpack(&zipped(&[("a.csv", b"")]), MOST).as_deref(), Ok(&b""[..]));
    }

    #[test]
    fn a_bomb_goes_no_further_than_is_allowed() {
        let zeros = vec![b'0'; 1_000_001];
        for bomb in [gzip(&zeros), zipped(&[("a.csv", &zeros)])] {
            assert!(bomb.len() < 10_000, "{}", bomb.len());
            let expected = "an archive that unpacks to more than 1000000 bytes (`api.max_body`)";
            assert_eq!(why(&bomb, 1_000_000), expected);
            assert_eq!(unpack(&bomb, 1_000_001).map(|whole| whole.len()), Ok(1_000_001));
        }
    }

    #[test]
    fn broken_archives_say_so() {
        assert_eq!(why(&zipped(&[]), MOST), "an archive without a file");
        assert_eq!(why(&zipped(&[("only/", b"")]), MOST), "an archive without a file");
        let text: Vec<u8> = (0..4000u32).flat_map(|number| number.to_string().into_bytes()).collect();
        let (gz, zip) = (gzip(&text), zipped(&[("a.csv", &text)]));
        for length in [5, 11, 40, gz.len() / 2, gz.len() - 1] {
            assert!(why(&gz[..length], MOST).starts_with("a broken gzip file: "), "{length}");
        }
        for length in [4, 11, 40, zip.len() / 2, zip.len() - 1] {
            assert!(why(&zip[..length], MOST).starts_with("a broken ZIP archive: "), "{length}");
        }
        let mut flipped = zip.clone();
        flipped[100] ^= 0xff;
        assert!(why(&flipped, MOST).starts_with("a broken ZIP archive: "));
    }

    #[test]
    fn an_encrypted_archive_says_so() {
        let mut archive = zipped(&[("a.csv", b"a,b\n")]);
        // The flag "encrypted" of the file and of its entry in the directory.
        archive[6] |= 1;
        let directory = archive.windows(4).position(|bytes| bytes == b"PK\x01\x02").expect("a directory");
        archive[directory + 8] |= 1;
        assert_eq!(why(&archive, MOST), "an encrypted archive");
    }
}
