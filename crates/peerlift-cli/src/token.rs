//! `peerlift token`: issues and inspects tokens, and finds the one to show.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{env, fs};

use data_encoding::BASE64URL_NOPAD;
use peerlift_access::{
    AccessKey, Audience, Claims, KeySet, SecretToken, TOKEN_LIFE_MAX_S, TOKEN_OBJECTS_MAX,
    Thumbprint, TokenError,
};
use peerlift_client::{TokenSource, Wallet, WalletError};
use peerlift_content::PublisherKey;
use serde::Serialize;

use crate::args::{InspectTokenArgs, IssueArgs, KeysArgs, RequestArgs, TokenAction, TokenArgs};
use crate::config::{Config, PublishConfig};
use crate::console::{print, print_json};
use crate::failure::{Exit, Failure, printable};
use crate::paths::Paths;
use crate::publish::load_key;

/// The variable that holds a token.
const VARIABLE: &str = "PEERLIFT_TOKEN";

/// The longest input that is read for a token or a set of keys.
const INPUT_BYTES_MAX: u64 = 64 * 1024;

/// Does what was asked for.
pub(crate) fn run(args: &TokenArgs, config: &Config, paths: &Paths) -> Result<Exit, Failure> {
    match &args.action {
        TokenAction::Request(args) => request(args, paths),
        TokenAction::Issue(args) => issue(args, &config.publish, paths),
        TokenAction::Inspect(args) => inspect(args),
        TokenAction::Keys(args) => keys(args, &config.publish, paths),
    }
}

/// The token to show, when there is one: of the option, of the environment, or of the settings.
pub(crate) fn wallet(
    named: Option<&Path>,
    configured: &Path,
    paths: &Paths,
) -> Result<Option<Wallet>, Failure> {
    let configured = Some(configured).filter(|path| !path.as_os_str().is_empty());
    let source = match (named, env::var(VARIABLE), configured) {
        (Some(path), _, _) if path == Path::new("-") => fixed(&read(path)?)?,
        (Some(path), _, _) => TokenSource::File(path.to_owned()),
        (None, Ok(text), _) if !text.is_empty() => fixed(&text)?,
        (None, _, Some(path)) => TokenSource::File(path.to_owned()),
        (None, _, None) => return Ok(None),
    };
    let seed = holder_seed(paths)?;
    Wallet::open(source, Some(seed))
        .map(Some)
        .map_err(|error| match error {
            WalletError::Token(error) => unusable(&error),
            WalletError::Io { .. } | _ => Failure::new(Exit::Usage, error.to_string())
                .hint("--token names the file that the publisher gave you"),
        })
}

fn fixed(text: &str) -> Result<TokenSource, Failure> {
    SecretToken::new(text)
        .map(TokenSource::Fixed)
        .map_err(|error| unusable(&error))
}

fn unusable(error: &TokenError) -> Failure {
    Failure::new(Exit::Usage, error.to_string())
        .hint("a token is one line of letters and digits with two full stops")
}

fn holder_seed(paths: &Paths) -> Result<[u8; 32], Failure> {
    PublisherKey::load_or_create(&paths.token_key())
        .map(|key| key.seed())
        .map_err(|error| Failure::caused(Exit::Storage, "no key for tokens", &error))
}

fn request(args: &RequestArgs, paths: &Paths) -> Result<Exit, Failure> {
    let key = AccessKey::of_holder(&holder_seed(paths)?, args.publisher);
    print(format_args!("{}\n", key.thumbprint()))?;
    Ok(Exit::Fine)
}

fn issue(args: &IssueArgs, config: &PublishConfig, paths: &Paths) -> Result<Exit, Failure> {
    let usage = |text: &str| Failure::new(Exit::Usage, text);
    let life = args.life.as_secs();
    if life == 0 || life > TOKEN_LIFE_MAX_S {
        return Err(usage("a token lasts from a second to an hour")
            .hint("issue another one before it ends; --token FILE reads it again"));
    }
    if args.object.len() > TOKEN_OBJECTS_MAX {
        return Err(usage("a token names at most 32 objects")
            .hint("leave out --object for all files, or issue several tokens"));
    }
    let holder = args.holder.as_deref().map(|text| {
        Thumbprint::parse(text).ok_or_else(|| {
            usage("--for is no key's name").hint("`peerlift token request` prints it")
        })
    });
    let key = load_key(args.key.as_deref(), config, paths)?;
    let now = unix_now();
    let claims = Claims {
        publisher: args.publisher.unwrap_or(key.id()),
        audience: audience(&args.audience),
        issued: now,
        not_before: None,
        expires: now + life,
        id: random_id()?,
        subject: args.subject.clone(),
        holder: holder.transpose()?,
        objects: args.object.clone(),
    };
    let key = AccessKey::from_seed(&key.seed());
    let token = claims.sign(&key);
    if let Err(error) = Claims::unverified(token.expose()) {
        return Err(Failure::caused(Exit::Usage, "no token", &error)
            .hint("a subject has at most 255 bytes and no control characters"));
    }
    print(format_args!("{}\n", token.expose()))?;
    Ok(Exit::Fine)
}

fn audience(words: &[String]) -> Vec<String> {
    [("edge", Audience::Edge), ("control", Audience::Control)]
        .into_iter()
        .filter(|(word, _)| words.is_empty() || words.iter().any(|asked| asked == word))
        .map(|(_, audience)| audience.word().to_owned())
        .collect()
}

fn keys(args: &KeysArgs, config: &PublishConfig, paths: &Paths) -> Result<Exit, Failure> {
    let mut publics = Vec::new();
    if args.key.is_empty() {
        publics.push(*load_key(None, config, paths)?.id().as_bytes());
    }
    for path in &args.key {
        publics.push(*load_key(Some(path), config, paths)?.id().as_bytes());
    }
    print(format_args!("{}\n", KeySet::of(publics).to_json()))?;
    Ok(Exit::Fine)
}

/// What a token says, for people and programs. The token itself is not told.
#[derive(Serialize)]
struct Told {
    publisher: String,
    audience: Vec<String>,
    issued: u64,
    not_before: Option<u64>,
    expires: u64,
    id: String,
    subject: Option<String>,
    holder: Option<String>,
    objects: Vec<String>,
    signed_by: Option<String>,
    good: bool,
    problem: Option<String>,
}

fn inspect(args: &InspectTokenArgs) -> Result<Exit, Failure> {
    let token = SecretToken::new(&read(&args.token)?).map_err(|error| unusable(&error))?;
    let token = token.expose();
    let claims = Claims::unverified(token).map_err(|error| unusable(&error))?;
    let keys = match &args.keys {
        Some(path) => key_set(path)?,
        None => KeySet::of_publisher(claims.publisher),
    };
    let verdict = verdict(token, &claims, &keys);
    let told = Told {
        publisher: claims.publisher.to_string(),
        audience: claims.audience.iter().map(|it| printable(it)).collect(),
        issued: claims.issued,
        not_before: claims.not_before,
        expires: claims.expires,
        id: claims.id,
        subject: claims.subject,
        holder: claims.holder.map(|holder| holder.to_string()),
        objects: claims.objects.iter().map(ToString::to_string).collect(),
        signed_by: Claims::key_name(token).map(|kid| printable(&kid)),
        good: verdict.is_ok(),
        problem: verdict.as_ref().err().map(ToString::to_string),
    };
    match args.json {
        true => print_json(&told)?,
        false => print(table(&told, unix_now()))?,
    }
    match verdict {
        Ok(()) => Ok(Exit::Fine),
        Err(error) => Err(Failure::new(Exit::Verification, error.to_string())
            .hint("ask the publisher for a new token")),
    }
}

/// Whether the token is good now, for whichever audience it names.
fn verdict(token: &str, claims: &Claims, keys: &KeySet) -> Result<(), TokenError> {
    let word = Audience::Control.word();
    let audience = match claims.audience.iter().any(|named| named == word) {
        true => Audience::Control,
        false => Audience::Edge,
    };
    let now = unix_now();
    Claims::verify(token, keys, audience, now)?;
    // Others allow for clocks; whoever looks wants to know.
    match now < claims.expires {
        true => Ok(()),
        false => Err(TokenError::Expired),
    }
}

fn table(told: &Told, now: u64) -> String {
    let or_all = |list: &[String]| match list {
        [] => "all of the publisher's".to_owned(),
        list => list.join(" "),
    };
    let time = match told.expires.checked_sub(now) {
        Some(left) if left > 0 => format!("in {left} s"),
        _ => format!("{} s ago", now.saturating_sub(told.expires)),
    };
    let holder = told.holder.as_deref().unwrap_or("nobody: whoever has it");
    let rows = [
        ("publisher", told.publisher.clone()),
        ("for", told.audience.join(", ")),
        ("objects", or_all(&told.objects)),
        ("bound to", holder.to_owned()),
        ("subject", told.subject.clone().unwrap_or_default()),
        ("id", told.id.clone()),
        ("signed by", told.signed_by.clone().unwrap_or_default()),
        ("ends", time),
    ];
    rows.iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name:<10} {value}\n"))
        .collect()
}

/// Reads a publisher's set of keys.
pub(crate) fn key_set(path: &Path) -> Result<KeySet, Failure> {
    let wrong = |error: &dyn std::error::Error| {
        Failure::caused(Exit::Usage, path.display(), error)
            .hint("`peerlift token keys` prints such a set")
    };
    let text = read(path)?;
    KeySet::parse(text.as_bytes()).map_err(|error| wrong(&error))
}

fn read(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let result = if path == Path::new("-") {
        io::stdin().take(INPUT_BYTES_MAX).read_to_string(&mut text)
    } else {
        fs::File::open(path).and_then(|file| file.take(INPUT_BYTES_MAX).read_to_string(&mut text))
    };
    let shown = match path == Path::new("-") {
        true => PathBuf::from("standard input"),
        false => path.to_owned(),
    };
    result.map_err(|error| {
        Failure::caused(
            Exit::Usage,
            format_args!("cannot read {}", shown.display()),
            &error,
        )
        .hint("name a file that you may read")
    })?;
    Ok(text)
}

fn random_id() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::new(Exit::Other, format!("no random numbers: {error}")))?;
    Ok(BASE64URL_NOPAD.encode(&bytes))
}

fn unix_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_secs()
}
