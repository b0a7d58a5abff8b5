//! Making a home directory: keys, the first descriptor, and a configuration that starts as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ics_core::descriptor::{DescriptorError, Owners, RoleSpec, Template, TemplateInput};
use ics_core::identity::Fingerprint;
use ics_core::time::Timestamp;
use ics_core::vocabulary::{DomainName, Role};
use zeroize::Zeroizing;

use super::backup::DATA;
use super::descriptor::{self, DescriptorFile, DescriptorFileError};
use crate::config::{self, Url};
use crate::keys::{
    Algorithm, KeyError, KeyName, KeyStore, KeyVersion, PASSPHRASE_FILE, Passphrase, PassphraseError, StoredKey, file,
};
use crate::store::SEEN_DIR;

/// The file with the token of the node's operator, in the home directory.
pub const OPERATOR_TOKEN_FILE: &str = "operator-token";

/// Bytes of that file.
const TOKEN_BYTES: usize = 4096;

/// What a new home directory is to be.
#[derive(Debug, Clone)]
pub struct NewHome {
    /// The trade of the party.
    pub template: Template,
    /// The party's own name; without it the signer is called by its trade and the domain.
    pub party: Option<String>,
    /// The domain that it will be the home of.
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
    /// The algorithm and version of owner's and signer's key; the node's is Ed25519.
    pub algorithm: (Algorithm, KeyVersion),
    /// The passphrase of the keys, and whether it is to be kept in the home directory.
    pub passphrase: (Passphrase, bool),
}

/// A home directory that was made.
#[derive(Debug, Clone)]
pub struct MadeHome {
    /// The owner's key, which changes the descriptor.
    pub owner: Fingerprint,
    /// The signer's key and the role that it has.
    pub signer: (Fingerprint, Role),
    /// The node's key.
    pub node: Fingerprint,
    /// The file of the first descriptor.
    pub descriptor: PathBuf,
}

/// Why no home directory was made.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// There is something already.
    #[error("`{path}` exists and is not empty", path = .0.display())]
    Exists(PathBuf),
    /// The disk failed.
    #[error("`{path}`: {source}", path = path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A key failed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// What was asked for breaks a rule of descriptors.
    #[error(transparent)]
    Descriptor(#[from] DescriptorError),
    /// The descriptor could not be signed or written.
    #[error(transparent)]
    DescriptorFile(#[from] DescriptorFileError),
}

impl From<PassphraseError> for HomeError {
    fn from(error: PassphraseError) -> Self {
        Self::Key(error.into())
    }
}

/// Makes a home directory, whole or not at all.
///
/// # Errors
/// When there is one, what was asked for breaks a rule, or the disk fails. Nothing is left behind then.
pub fn make(home: &Path, new: &NewHome, at: Timestamp) -> Result<MadeHome, HomeError> {
    refuse_existing(home)?;
    let parent = home.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(|source| HomeError::File { path: parent.to_owned(), source })?;
    // Beside its place, so that the last step is one rename on one file system; mode 0700 from the start.
    let failed = |source| HomeError::File { path: home.to_owned(), source };
    let unfinished = tempfile::Builder::new().prefix(".ics-init-").tempdir_in(parent).map_err(failed)?;
    let made = fill(unfinished.path(), new, at)?;
    fs::rename(unfinished.path(), home).map_err(failed)?;
    // It has moved: there is nothing left to remove.
    let _ = unfinished.keep();
    Ok(MadeHome { descriptor: descriptor::path(home, &new.domain, 1), ..made })
}

fn refuse_existing(home: &Path) -> Result<(), HomeError> {
    match fs::read_dir(home) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(HomeError::File { path: home.to_owned(), source }),
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(HomeError::Exists(home.to_owned())),
        },
    }
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
    // The node's key is new: where this is missing, it may have cosigned what nobody knows any more.
    let seen = directory.join(DATA).join(SEEN_DIR);
    file::make_private_directory(&directory.join(DATA)).map_err(failed(seen.clone()))?;
    file::make_private_directory(&seen).map_err(failed(seen))?;
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
        reason: "checkpoints take an Ed25519 key".to_owned(),
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

/// The role of the party whose domain it is.
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
/// When it cannot be read, or is no text.
pub fn read_operator_token(path: &Path) -> io::Result<Zeroizing<String>> {
    let bytes = file::read_secret(path, TOKEN_BYTES)?;
    let text = core::str::from_utf8(&bytes).map_err(io::Error::other)?;
    Ok(Zeroizing::new(text.trim().to_owned()))
}

/// 256 random bits, hex.
fn operator_token() -> Result<Zeroizing<String>, KeyError> {
    let mut bits = Zeroizing::new([0_u8; 32]);
    getrandom::fill(bits.as_mut()).map_err(|e| KeyError::Make(e.to_string()))?;
    Ok(Zeroizing::new(data_encoding::HEXLOWER.encode(bits.as_ref()) + "\n"))
}

fn configuration(new: &NewHome, role: &Role) -> String {
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let public_url = new.public_url.as_ref().map_or_else(
        || "# public_url = \"https://…\"          # how others reach this node".to_owned(),
        |url| format!("public_url = {}", quoted(url.as_str())),
    );
    format!(
        "# The configuration of an ICS node and of the commands that use it. Paths are relative to this directory.\n\
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
