//! Bytes in a gzip file or a ZIP archive.

use std::io::Write;

use flate2::write::{DeflateEncoder, GzEncoder};
use flate2::{Compression, Crc};

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

/// An archive with one deflated member.
pub fn zip(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("memory");
    let packed = encoder.finish().expect("memory");
    let mut crc = Crc::new();
    crc.update(bytes);
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("a small file").to_le_bytes();
    let name_length = u16::try_from(name.len()).expect("a short name").to_le_bytes();
    // Version 2.0, no flags, deflated, 1980-01-01 00:00.
    let mut about = vec![20, 0, 0, 0, 8, 0, 0, 0, 0x21, 0];
    about.extend(crc.sum().to_le_bytes());
    about.extend(length(&packed));
    about.extend(length(bytes));
    about.extend(name_length);
    // No extra field.
    about.extend([0, 0]);

    let mut archive = b"PK\x03\x04".to_vec();
    archive.extend(&about);
    archive.extend(name.as_bytes());
    archive.extend(&packed);
    let directory_at = length(&archive);
    let mut directory = b"PK\x01\x02\x14\x00".to_vec();
    directory.extend(&about);
    // No comment, first disk, no attributes, the member at the archive's beginning.
    directory.extend([0; 14]);
    directory.extend(name.as_bytes());
    archive.extend(&directory);
    archive.extend(b"PK\x05\x06\x00\x00\x00\x00\x01\x00\x01\x00");
    archive.extend(length(&directory));
    archive.extend(directory_at);
    archive.extend([0, 0]);
    archive
}

#[test]
fn other_programs_read_what_was_packed() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = "campaign,clicks\n".repeat(100);
    std::fs::write(folder.path().join("a.zip"), zip("report.csv", text.as_bytes())).expect("written");
    std::fs::write(folder.path().join("a.gz"), gzip(text.as_bytes())).expect("written");
    let program = "import gzip, zipfile\narchive = zipfile.ZipFile('a.zip')\nassert archive.testzip() is None\n\
                   assert archive.namelist() == ['report.csv']\n\
                   assert archive.read('report.csv') == gzip.open('a.gz').read()\nprint('ok')";
    let mut command = std::process::Command::new("python3");
    command.args(["-c", program]).current_dir(folder.path());
    match command.output() {
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
        Err(_) => crate::outside::skip("the packing of scripted answers", "python3"),
    }
}
