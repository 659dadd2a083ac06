"""Follow docs/deploy.md: run the commands of its sections on the emulated AWS, as they stand there."""

import datetime
import json
import re
import shlex
import subprocess
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from .judge import Wrong

PAGE = Path("docs/deploy.md")

# What no emulator can do, with the reason. Each has to be in the page.
NOT_HERE = {
    "sam build": "done before",
    "git pull": "changes this folder",
    "build/parkctl vendor ping": "moto runs a function in Docker when an event is queued",
    "aws ": "the AWS CLI is not installed here; each line is a call to the service",
}

# The lines of the doctor's that an emulator can make ok.
DOCTOR = {"region", "credentials", "stack", "secrets", "events queue", "dead letters", "table", "clock"}


def commands(page, heading):
    """Return the commands of a section's shell blocks."""
    section = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", page, re.M | re.S)
    if not section:
        raise Wrong(f"{PAGE} has no section {heading!r}")
    found = []
    for block in re.findall(r"^```sh\n(.*?)^```", section[1], re.M | re.S):
        lines = block.replace("\\\n", " ").splitlines()
        found += [re.sub(r"\s+# .*", "", line).strip() for line in lines]
    return [c for c in found if c and not c.startswith(("#", "export "))]


def merchant_files(folder):
    """Write what a merchant console gives, with keys made now."""
    private = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "1900000100")])
    now, day = datetime.datetime.now(datetime.timezone.utc), datetime.timedelta(days=1)
    certificate = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    certificate = certificate.serial_number(x509.random_serial_number()).not_valid_before(now - day)
    certificate = certificate.not_valid_after(now + 365 * day).sign(key, hashes.SHA256())
    public = rsa.generate_private_key(65537, 2048).public_key()
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    (folder / "apiclient_key.pem").write_bytes(key.private_bytes(*private))
    (folder / "apiclient_cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "pub_key.pem").write_bytes(public.public_bytes(serialization.Encoding.PEM, spki))
    (folder / "v2.txt").write_text("0123456789abcdefghijklmnopqrstuv")
    (folder / "v3.txt").write_text("vutsrqponmlkjihgfedcba9876543210")


def follow(s):
    """Run the page's commands in their order; fail if one fails, or is not known here."""
    page = PAGE.read_text(encoding="utf-8")
    folder = s.work / "documentation"
    folder.mkdir()
    merchant_files(folder)
    run, left = [], set(NOT_HERE)
    for heading in ("The first deployment", "An update", "Going back", "Delete it"):
        for command in commands(page, heading):
            excused = next((e for e in NOT_HERE if command.startswith(e)), None)
            if excused:
                left.discard(excused)
                continue
            execute(s, folder, command)
            run.append(command)
    if left:
        raise Wrong(f"{PAGE} has no command that begins with {sorted(left)}: take the entry out of documentation.py")
    print(f"\n{s.aws.region}: {len(run)} commands of {PAGE} ran as they stand there")
    for command in run:
        print(f"  {command[:110]}")
    for command, reason in NOT_HERE.items():
        print(f"  not here: {command.strip()}: {reason}")


def execute(s, folder, command):
    """Run one command, with answers to its questions."""
    words = shlex.split(command)
    if words[0] == "sam":
        arguments = words[1:]
        if words[1] == "deploy":
            config = str(Path("samconfig.toml").resolve())
            arguments += ["--template-file", str(s.built / "template.yaml"), "--config-file", config]
            arguments += ["--no-confirm-changeset"]
        elif words[1] == "delete":
            arguments += ["--no-prompts"]
        status, output = s.sam(*arguments)
        if status != 0:
            raise Wrong(f"{command} ended with {status}:\n{output[-3000:]}")
        return
    if words[0] != "build/parkctl":
        raise Wrong(f"{PAGE} has a command that is not known here: {command}")
    arguments = words[1:]
    if words[1:3] in (["secret", "init"], ["vendor", "add"]):
        arguments.append("--yes")
    if words[1] == "doctor":
        arguments.append("--json")
    done = subprocess.run(
        [str(Path(words[0]).resolve()), *arguments],
        cwd=folder,
        env=s.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if words[1] == "doctor":
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        fine = {line["what"] for line in lines if line["status"] == "ok"}
        if not DOCTOR <= fine:
            raise Wrong(f"{command}: {sorted(DOCTOR - fine)} not ok:\n{done.stdout}{done.stderr}")
    elif done.returncode != 0:
        raise Wrong(f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
