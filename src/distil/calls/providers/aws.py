"""AWS: keys and region as its own tools find them, and Signature Version 4 of one POST.

Not the AWS SDK: no single sign-on, no roles; `aws configure export-credentials` brings those into the environment.
(docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html)
"""

from __future__ import annotations

import configparser
import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, urlsplit


class AwsKeys(NamedTuple):
    """A pair of keys, and what they sign for."""

    access: str
    secret: str
    session: str | None
    """For temporary ones."""
    region: str
    service: str = "bedrock"


def find_keys(environ: Mapping[str, str], region: str) -> AwsKeys | None:
    """From AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, else from ~/.aws/credentials (AWS_PROFILE); None where there are none."""
    if environ.get("AWS_ACCESS_KEY_ID") and environ.get("AWS_SECRET_ACCESS_KEY"):
        session = environ.get("AWS_SESSION_TOKEN", "").strip() or None
        return AwsKeys(environ["AWS_ACCESS_KEY_ID"].strip(), environ["AWS_SECRET_ACCESS_KEY"].strip(), session, region)
    profile = _profile(environ, "AWS_SHARED_CREDENTIALS_FILE", "credentials")
    if "aws_access_key_id" not in profile or "aws_secret_access_key" not in profile:
        return None
    session = profile.get("aws_session_token")
    return AwsKeys(profile["aws_access_key_id"], profile["aws_secret_access_key"], session, region)


def find_region(environ: Mapping[str, str]) -> str | None:
    """From AWS_REGION or AWS_DEFAULT_REGION, else from ~/.aws/config."""
    named = next(
        (environ[name] for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_REGION_NAME") if environ.get(name)), None
    )
    return named or _profile(environ, "AWS_CONFIG_FILE", "config").get("region")


def _profile(environ: Mapping[str, str], variable: str, file: str) -> Mapping[str, str]:
    name = environ.get("AWS_PROFILE") or "default"
    home = environ.get("HOME") or environ.get("USERPROFILE")
    path = Path(environ[variable]) if environ.get(variable) else Path(home) / ".aws" / file if home else None
    parser = configparser.RawConfigParser()
    try:
        found = parser.read(path, encoding="utf-8") if path is not None else []
    except (OSError, configparser.Error, UnicodeDecodeError):
        return {}
    section = next((section for section in (name, f"profile {name}") if parser.has_section(section)), None)
    return dict(parser.items(section)) if found and section is not None else {}


def sign(
    keys: AwsKeys,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: datetime | None = None,
    method: str = "POST",
) -> dict[str, str]:
    """The headers of a request with its signature. url: its path percent-encoded as it is sent."""
    time = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    parts = urlsplit(url)
    made = {**headers, "X-Amz-Date": time}
    if keys.session:
        made["X-Amz-Security-Token"] = keys.session
    signed = {name.lower(): " ".join(value.split()) for name, value in made.items()}
    signed["host"] = parts.netloc
    names = ";".join(sorted(signed))
    # The path is encoded once more than it is sent, as every service but S3 asks for.
    path = quote(parts.path or "/", safe="/-_.~")
    query = "&".join(
        f"{quote(k, safe='-_.~')}={quote(v, safe='-_.~')}" for k, v in sorted(parse_qsl(parts.query, True))
    )
    lines = [f"{name}:{signed[name]}" for name in sorted(signed)]
    canonical = "\n".join([method, path, query, *lines, "", names, hashlib.sha256(body).hexdigest()])
    scope = f"{time[:8]}/{keys.region}/{keys.service}/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", time, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{keys.secret}".encode()
    for part in (time[:8], keys.region, keys.service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    made["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={keys.access}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return made
