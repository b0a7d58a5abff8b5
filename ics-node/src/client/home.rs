//! Makes a home directory: keys, the first descriptor, and a configuration with which the node starts as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use ics_core::descriptor::{DescriptorError, Owners, RoleSpec, Template, TemplateInput};
use ics_core::identity::Fingerprint;
use ics_core::time::Timestamp;
use ics_core::vocabulary::{DomainName, Role};
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::backup::DATA;
use super::descriptor::{self, DescriptorFile, DescriptorFileError};
use crate::config::{self, EXAMPLE_AT, Url};
use crate::keys::{
    self, Algorithm, KeyError, KeyName, KeyStore, KeyVersion, PASSPHRASE_FILE, Passphrase, PassphraseError, StoredKey,
    file,
};
use crate::store::SEEN_DIR;

/// The file in the home directory with the operator's token.
pub const OPERATOR_TOKEN_FILE: &str = "operator-token";

/// The size limit of that file, in bytes.
const TOKEN_BYTES: usize = 4096;

/// The prefix of directories that are still being filled.
const UNFINISHED: &str = ".ics-init-";

/// The contents of a new home directory, the configuration last: without it, the directory is incomplete.
const CONTENT: [&str; 6] =
    [PASSPHRASE_FILE, OPERATOR_TOKEN_FILE, keys::DIRECTORY, descriptor::DIRECTORY, DATA, config::FILE_NAME];

/// The properties of a new home directory.
#[derive(Debug, Clone)]
pub struct NewHome {
    /// The template for the party's trade.
    pub template: Template,
    /// The party's own name; without it the signer is named after its trade and the domain.
    pub party: Option<String>,
    /// The domain of which it will be the home.
    pub domain: DomainName,
    /// The node's name.
    pub node_name: String,
    /// Where the node listens.
    pub listen: SocketAddr,
    /// How others reach it.
    pub public_url: Option<Url>,
    /// Patterns of the names that the party may give.
    pub names: BTreeSet<String>,
    /// What the domain is for.
    pub description: String,
    /// The algorithm and version of the owner's and the signer's keys; the node's key is Ed25519.
    pub algorithm: (Algorithm, KeyVersion),
    /// The passphrase of the keys, and whether to store it in the home directory.
    pub passphrase: (Passphrase, bool),
}

/// A home directory that was created.
#[derive(Debug, Clone)]
pub struct MadeHome {
    /// The owner's key, which signs changes of the descriptor.
    pub owner: Fingerprint,
    /// The signer's key and its role.
    pub signer: (Fingerprint, Role),
    /// The node's key.
    pub node: Fingerprint,
    /// The file of the first descriptor.
    pub descriptor: PathBuf,
}

/// Why no home directory was made.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// The directory already has contents.
    #[error("`{path}` exists and is not empty", path = .0.display())]
    Exists(PathBuf),
    /// A file or directory could not be written.
    #[error("`{path}`: {source}", path = path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A key could not be made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The request breaks a rule of descriptors.
    #[error(transparent)]
    Descriptor(#[from] DescriptorError),
    /// The descriptor could not be signed or written.
    #[error(transparent)]
    DescriptorFile(#[from] DescriptorFileError),
}

impl HomeError {
    /// Names a file by the path that was to become its own: the directory that was being filled is gone.
    fn in_place(mut self, unfinished: &Path, home: &Path) -> Self {
        if let Self::File { path, .. }
        | Self::Key(KeyError::File { path, .. })
        | Self::DescriptorFile(DescriptorFileError::File { path, .. }) = &mut self
            && let Ok(below) = path.strip_prefix(unfinished)
        {
            *path = home.join(below);
        }
        self
    }
}

impl From<PassphraseError> for HomeError {
    fn from(error: PassphraseError) -> Self {
        Self::Key(error.into())
    }
}

/// Makes a home directory, completely or not at all.
///
/// # Errors
/// When it already exists, the request breaks a rule, or the disk fails. The command can then be repeated.
pub fn make(home: &Path, new: &NewHome, at: Timestamp) -> Result<MadeHome, HomeError> {
    let made = match fs::read_dir(home) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => make_beside(home, new, at)?,
        Err(source) => return Err(HomeError::File { path: home.to_owned(), source }),
        Ok(_) => make_within(home, new, at)?,
    };
    Ok(MadeHome { descriptor: descriptor::path(home, &new.domain, 1), ..made })
}

/// For a directory that does not exist: fills one beside it, so that the last step is a single rename on one file
/// system.
fn make_beside(home: &Path, new: &NewHome, at: Timestamp) -> Result<MadeHome, HomeError> {
    let failed = |source| HomeError::File { path: home.to_owned(), source };
    let parent = home.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(|source| HomeError::File { path: parent.to_owned(), source })?;
    let unfinished = unfinished_in(parent).map_err(failed)?;
    let made = fill(unfinished.path(), new, at).map_err(|error| error.in_place(unfinished.path(), home))?;
    fs::rename(unfinished.path(), home).map_err(failed)?;
    // It has been renamed, so there is nothing left to remove.
    let _ = unfinished.keep();
    sync_names(parent).map_err(failed)?;
    Ok(made)
}

/// For a directory that an installer or a container has made: its owner may be unable to write beside it, and a volume
/// cannot be replaced.
fn make_within(home: &Path, new: &NewHome, at: Timestamp) -> Result<MadeHome, HomeError> {
    let failed = |source| HomeError::File { path: home.to_owned(), source };
    remove_unfinished(home)?;
    // A volume may belong to somebody else and then stays as open as it is: secret files restrict their own
    // permissions.
    let _ = fs::set_permissions(home, Permissions::from_mode(0o700));
    let unfinished = unfinished_in(home).map_err(failed)?;
    let made = fill(unfinished.path(), new, at).map_err(|error| error.in_place(unfinished.path(), home))?;
    let mut content = CONTENT.into_iter().filter(|name| unfinished.path().join(name).exists());
    let moved = content.try_for_each(|name| fs::rename(unfinished.path().join(name), home.join(name)));
    if moved.is_err() {
        // Its presence tells the next run that what was already moved may be removed.
        let _ = unfinished.keep();
    }
    moved.and_then(|()| sync_names(home)).map_err(failed)?;
    Ok(made)
}

/// Makes the names in a directory durable: if the name `data` were lost in a power cut, everything that the store syncs
/// in it would be lost as well.
fn sync_names(directory: &Path) -> io::Result<()> {
    fs::File::open(directory)?.sync_all()
}

/// A directory to be filled, removed unless it is finished.
fn unfinished_in(directory: &Path) -> io::Result<TempDir> {
    let permissions = Permissions::from_mode(0o700);
    let made = tempfile::Builder::new().prefix(UNFINISHED).permissions(permissions).tempdir_in(directory);
    made.map_err(|error| file::unnamed(&error))
}

/// Removes what an interrupted run left: nobody has been told of its keys. Refuses a directory with anything else.
fn remove_unfinished(home: &Path) -> Result<(), HomeError> {
    let failed = |source| HomeError::File { path: home.to_owned(), source };
    let entries: Vec<fs::DirEntry> = fs::read_dir(home).and_then(Iterator::collect).map_err(failed)?;
    let is_unfinished = |entry: &fs::DirEntry| entry.file_name().as_encoded_bytes().starts_with(UNFINISHED.as_bytes());
    let was_begun = entries.iter().any(is_unfinished);
    let may_go = |entry: &fs::DirEntry| {
        let name = entry.file_name();
        let is_ours = name != config::FILE_NAME && CONTENT.iter().any(|ours| name == **ours);
        is_unfinished(entry) || (was_begun && is_ours)
    };
    if !entries.iter().all(may_go) {
        return Err(HomeError::Exists(home.to_owned()));
    }
    // The directory that shows the interruption goes last, in case this is interrupted too.
    let (last, first): (Vec<_>, Vec<_>) = entries.into_iter().partition(is_unfinished);
    first.iter().chain(&last).try_for_each(remove).map_err(failed)
}

fn remove(entry: &fs::DirEntry) -> io::Result<()> {
    if entry.file_type()?.is_dir() { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) }
}

fn fill(directory: &Path, new: &NewHome, at: Timestamp) -> Result<MadeHome, HomeError> {
    let failed = |path: PathBuf| move |source| HomeError::File { path, source };
    let (passphrase, is_kept) = &new.passphrase;
    if *is_kept {
        let path = directory.join(PASSPHRASE_FILE);
        passphrase.write_to(&path).map_err(failed(path))?;
    }
    let path = directory.join(OPERATOR_TOKEN_FILE);
    file::create_private(&path, operator_token()?.as_bytes()).map_err(failed(path))?;

    let keys = KeyStore::new(directory);
    let make_key = |name: &str, user_id: String, algorithm| -> Result<StoredKey, HomeError> {
        Ok(keys.make(&name.parse::<KeyName>()?, &user_id, algorithm, passphrase, at)?)
    };
    let owner_of = format!("Owner of {}", new.domain);
    let owner_id = new.party.as_ref().map_or_else(|| owner_of.clone(), |party| format!("{party}, {owner_of}"));
    let signer_id = new.party.clone().unwrap_or_else(|| format!("{} of {}", title(new.template), new.domain));
    let owner = make_key("owner", owner_id, new.algorithm)?;
    let signer = make_key("signer", signer_id, new.algorithm)?;
    let node_algorithm = (Algorithm::Ed25519, new.algorithm.1);
    let node = make_key("node", format!("Node {}", new.node_name), node_algorithm)?;

    let role = role_of(new.template)?;
    sign_descriptor(directory, new, (&owner, &signer, &node), &role, at)?;
    // The node's key is new, so it cannot have cosigned anything yet; in an older home a missing directory means that
    // what was cosigned may be forgotten.
    let seen = directory.join(DATA).join(SEEN_DIR);
    file::make_private_directory(&directory.join(DATA)).map_err(failed(seen.clone()))?;
    let made = file::make_private_directory(&seen).and_then(|()| sync_names(&directory.join(DATA)));
    made.map_err(failed(seen))?;
    let path = directory.join(config::FILE_NAME);
    file::create_private(&path, configuration(new, &role).as_bytes()).map_err(failed(path))?;
    Ok(MadeHome {
        owner: owner.fingerprint(),
        signer: (signer.fingerprint(), role),
        node: node.fingerprint(),
        descriptor: descriptor::path(directory, &new.domain, 1),
    })
}

fn sign_descriptor(
    directory: &Path,
    new: &NewHome,
    (owner, signer, node): (&StoredKey, &StoredKey, &StoredKey),
    role: &Role,
    at: Timestamp,
) -> Result<(), HomeError> {
    let spec = RoleSpec { signers: BTreeSet::from([signer.fingerprint()]), names: new.names.clone() };
    let owner_key = descriptor::owner("owner", &owner.public_key()?);
    let home = descriptor::node(&new.node_name, node).ok_or_else(|| KeyError::Purpose {
        name: "node".to_owned(),
        purpose: "sign checkpoints",
        reason: "checkpoints are signed with an Ed25519 key".to_owned(),
    })?;
    let descriptor = new.template.fill(TemplateInput {
        domain: new.domain.clone(),
        description: new.description.clone(),
        owners: Owners { threshold: 1, keys: vec![owner_key] },
        home,
        roles: BTreeMap::from([(role.clone(), spec)]),
        sources: Vec::new(),
    })?;
    let unlocked = owner.unlock(&new.passphrase.0)?;
    let signed = DescriptorFile::sign_new(descriptor, &[unlocked.primary()?], at)?;
    signed.write(&descriptor::path(directory, &new.domain, 1))?;
    Ok(())
}

/// The role of the party that owns the domain.
fn role_of(template: Template) -> Result<Role, KeyError> {
    let word = template.roles().first().copied().unwrap_or("owner");
    word.parse().map_err(|e: ics_core::vocabulary::WordError| KeyError::Make(e.to_string()))
}

fn title(template: Template) -> String {
    let word = template.roles().first().copied().unwrap_or("owner");
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// Reads the operator's token.
///
/// # Errors
/// When it cannot be read, or is not text.
pub fn read_operator_token(path: &Path) -> io::Result<Zeroizing<String>> {
    let bytes = file::read_secret(path, TOKEN_BYTES)?;
    let text = core::str::from_utf8(&bytes).map_err(io::Error::other)?;
    Ok(Zeroizing::new(text.trim().to_owned()))
}

/// 256 random bits in hex, without a final newline: OpenLDAP's `-y` takes the whole file for the password.
fn operator_token() -> Result<Zeroizing<String>, KeyError> {
    let mut bits = Zeroizing::new([0_u8; 32]);
    getrandom::fill(bits.as_mut()).map_err(|e| KeyError::Make(e.to_string()))?;
    Ok(Zeroizing::new(data_encoding::HEXLOWER.encode(bits.as_ref())))
}

fn configuration(new: &NewHome, role: &Role) -> String {
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let public_url = new.public_url.as_ref().map_or_else(
        || "# public_url = \"https://…\"          # how others reach this node".to_owned(),
        |url| format!("public_url = {}", quoted(url.as_str())),
    );
    format!(
        "# The configuration of an ICS node and of the commands that use it. Paths are relative to this directory.\n\
         # All that may stand here: {EXAMPLE_AT}\n\
         \n\
         [node]\n\
         name = {name}\n\
         listen = \"{listen}\"\n\
         {public_url}\n\
         operator_token_file = \"{OPERATOR_TOKEN_FILE}\"\n\
         \n\
         [[home]]\n\
         domain = \"{domain}\"\n\
         descriptor = \"{directory}/{domain}.v1.pgp\"\n\
         \n\
         [client]\n\
         domain = \"{domain}\"\n\
         signer = \"signer\"\n\
         role = \"{role}\"\n",
        name = quoted(&new.node_name),
        listen = new.listen,
        domain = new.domain,
        directory = descriptor::DIRECTORY,
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    const AT: Timestamp = Timestamp::from_seconds(1_795_162_200);

    fn new() -> NewHome {
        NewHome {
            template: Template::Manufacturer,
            party: None,
            domain: "devices.acme.example".parse().expect("a domain"),
            node_name: "ics.devices.acme.example".to_owned(),
            listen: ([127, 0, 0, 1], 8470).into(),
            public_url: None,
            names: ["serial:*".to_owned()].into(),
            description: String::new(),
            algorithm: (Algorithm::Ed25519, KeyVersion::V4),
            passphrase: (Passphrase::generate().expect("randomness"), true),
        }
    }

    fn names_in(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).expect("listed");
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// Asserts that it has all that it needs, and no leftovers.
    fn assert_whole(home: &Path) {
        let names = names_in(home);
        for name in [PASSPHRASE_FILE, OPERATOR_TOKEN_FILE, "keys", "domains", config::FILE_NAME] {
            assert!(names.iter().any(|there| there == name), "no {name} in {names:?}");
        }
        assert!(!names.iter().any(|name| name.starts_with(UNFINISHED)), "{names:?}");
        let token = fs::read(home.join(OPERATOR_TOKEN_FILE)).expect("read");
        assert!(
            token.len() == 64 && token.iter().all(u8::is_ascii_hexdigit),
            "all of the file is the token: {token:?}"
        );
    }

    /// As made by a package or a container: the directory exists, and nobody may write beside it.
    #[test]
    fn a_directory_that_is_there_is_filled() {
        let parent = tempfile::tempdir().expect("directory");
        let home = parent.path().join("ics");
        fs::create_dir(&home).expect("made");
        fs::set_permissions(&home, Permissions::from_mode(0o700)).expect("closed");
        fs::set_permissions(parent.path(), Permissions::from_mode(0o555)).expect("not to be written");
        let before = fs::metadata(&home).expect("metadata").ino();
        let made = make(&home, &new(), AT);
        fs::set_permissions(parent.path(), Permissions::from_mode(0o700)).expect("to be removed");
        let made = made.expect("made");
        let metadata = fs::metadata(&home).expect("metadata");
        assert_eq!((metadata.ino(), metadata.mode() & 0o777), (before, 0o700), "the same, not another in its place");
        assert_eq!(names_in(parent.path()), ["ics"]);
        assert_whole(&home);
        assert_eq!(made.descriptor, home.join("domains/devices.acme.example.v1.pgp"));
        let configured = fs::read_to_string(home.join(config::FILE_NAME)).expect("read");
        assert!(configured.contains(EXAMPLE_AT), "it says where its members are described: {configured}");
        let described = EXAMPLE_AT.split_once(" in the source").and_then(|(path, _)| path.strip_prefix("ics-node/"));
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(described.expect("a path")).exists(), "{EXAMPLE_AT}");
        assert!(made.descriptor.exists());
        assert!(matches!(make(&home, &new(), AT), Err(HomeError::Exists(_))));
    }

    #[test]
    fn a_directory_that_is_made_is_closed_to_others() {
        let parent = tempfile::tempdir().expect("directory");
        let home = parent.path().join("a/ics");
        make(&home, &new(), AT).expect("made");
        assert_eq!(fs::metadata(&home).expect("metadata").mode() & 0o777, 0o700);
        assert_eq!(names_in(&parent.path().join("a")), ["ics"]);
    }

    #[test]
    fn what_was_interrupted_is_made_anew() {
        let home = tempfile::tempdir().expect("directory");
        fs::create_dir_all(home.path().join(".ics-init-1/domains")).expect("made");
        fs::create_dir(home.path().join("keys")).expect("made");
        fs::write(home.path().join("keys/old.asc"), "a key").expect("written");
        make(home.path(), &new(), AT).expect("made");
        assert_whole(home.path());
        assert_eq!(names_in(&home.path().join("keys")), ["node.asc", "owner.asc", "signer.asc"]);

        // Files by others stay, and so do keys without a sign that they are from an interrupted run.
        for others in [[".ics-init-1", "mine"].as_slice(), &["keys"], &[".ics-init-1", "ics.toml"]] {
            let home = tempfile::tempdir().expect("directory");
            for name in others {
                fs::create_dir(home.path().join(name)).expect("made");
            }
            assert!(matches!(make(home.path(), &new(), AT), Err(HomeError::Exists(_))), "{others:?}");
            assert_eq!(names_in(home.path()), others, "{others:?}");
        }
    }
}
