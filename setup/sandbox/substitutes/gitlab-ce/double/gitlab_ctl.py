"""gitlab-ctl: reconfigure, the services' commands, and what the package's scripts call."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import time

import config
import repository
import services
import store

HELP = """I don't know that command.
Usage: gitlab-ctl command (subcommand)
General Commands:
  reconfigure
    Reconfigure the application.
  uninstall
    Kill all processes and uninstall the process supervisor.
  help
    Print this help message.
Service Management Commands:
  restart, service-list, start, status, stop, tail
This is a stand-in for GitLab's command; it has no others."""


class Failed(Exception):
    """A reconfigure that does not go through."""


def _seed(said: dict[str, object]) -> str:
    """The first reconfigure makes root; later ones do nothing. Returns the note at the end."""
    given = os.environ.get("GITLAB_ROOT_PASSWORD") or str(said.get("gitlab_rails.initial_root_password") or "")
    with store.opened() as kept:
        if kept.one("user"):
            return ""
        if given and len(given) < 8:
            raise Failed("Could not create the default administrator account: Password is too short (minimum is 8)")
        mail = os.environ.get("GITLAB_ROOT_EMAIL", "admin@example.com")
        _seed_project(kept, kept.add_user("root", given, name="Administrator", email=mail, is_admin=True))
        token = said.get("gitlab_rails.initial_shared_runners_registration_token") or store.token20()
        kept.set({"runners_registration_token": str(token)})
    log = config.LOGS / time.strftime("gitlab-rails/gitlab-rails-db-migrate-%Y-%m-%d-%H-%M-%S.log")
    log.parent.mkdir(parents=True, exist_ok=True)
    shown = given or "You'll be prompted to create one on your first visit."
    with open(os.open(log, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
        file.write(f"Administrator account created:\n\nlogin:    root\npassword: {shown}\n")
    if given:
        return "The admin account is configured: username root, the password from gitlab.rb or GITLAB_ROOT_PASSWORD."
    return "The first visit in a browser shows a page that sets root's password."


def _seed_project(kept: store.Store, root: dict) -> None:
    """GitLab's own, whether Prometheus is on or not."""
    group = {"id": 2, "name": "GitLab Instance", "path": f"gitlab-instance-{secrets.token_hex(4)}", "kind": "group"}
    path = f"{group['path']}/monitoring"
    text = "This project is automatically generated and will be used to help monitor this GitLab instance."
    said = {"name": "Monitoring", "path": "monitoring", "path_with_namespace": path, "visibility": "internal"}
    author, readme = (root["name"], root["email"]), f"# Monitoring\n\n{text}"
    repository.added(kept, author, readme, owner_id=root["id"], group=group, description=text, **said)


def _write_state(said: dict[str, object]) -> list[str]:
    """What reconfigure leaves on the disk. Returns the services that must be restarted."""
    folder = services.RUN / "services"
    folder.mkdir(parents=True, exist_ok=True)
    names = services.enabled(said)
    for gone in set(services.listed()) - set(names):
        (folder / gone).unlink()
    for name in names:
        (folder / name).touch()
    config.RC.parent.mkdir(parents=True, exist_ok=True)
    config.RC.write_text("gitlab_user=git\n")
    keys = config.ROOT / "etc/gitlab/gitlab-secrets.json"
    if not keys.exists():
        with open(os.open(keys, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
            json.dump({"gitlab_rails": {"db_key_base": secrets.token_hex(64)}}, file)
    running = config.DATA / "double/running.json"
    text = json.dumps({name: value for name, value in said.items() if "initial_" not in name})  # no secrets
    changed = running.exists() and running.read_text() != text
    running.write_text(text)
    return [name for name in ("alertmanager", "nginx") if changed and name in names]


def reconfigure() -> int:
    print("Starting Chef Infra Client, version 15.14.0", flush=True)
    try:
        if not config.FILE.exists():
            config.write_url("")
        said = config.read()
        if not str(said["external_url"]).startswith("http://"):
            raise Failed("this stand-in serves http only")
        if said.get("puma.enable", True) and said.get("unicorn.enable"):
            raise Failed("Only one web server (Puma or Unicorn) can be enabled at the same time!")
        note = _seed(said)
        stale = _write_state(said)
    except (Failed, config.Unread, OSError) as error:
        print(f"There was an error running gitlab-ctl reconfigure:\n\n{error}", file=sys.stderr)
        return 1
    services.start_supervisor()
    for name in services.listed():
        services._until(lambda name=name: services.pid(name) or (services.RUN / f"{name}.down").exists())
    for name in stale:
        services.command("restart", name)
    (config.DATA / "bootstrapped").touch()
    print("Running handlers:\nRunning handlers complete")
    print("Chef Infra Client finished, 1/1 resources updated in 01 seconds\n")
    print(f"Notes:\n{note}\n" if note else "", "gitlab Reconfigured!", sep="")
    return 0


def upgrade() -> int:
    """What the package calls at the end of its installation."""
    url = os.environ.get("EXTERNAL_URL", "")
    if (config.DATA / "bootstrapped").exists():
        code = 0 if (config.ROOT / "etc/gitlab/skip-auto-reconfigure").exists() else reconfigure()
        print("Upgrade complete!" if not code else "", flush=True)
        return code
    if not url or config.with_scheme(url) == config.NOT_SET:
        print("It looks like GitLab has not been configured yet; skipping the upgrade script.")
        print("Thank you for installing GitLab!")
        print("Set external_url in /etc/gitlab/gitlab.rb, then: sudo gitlab-ctl reconfigure")
        return 0
    code = reconfigure()
    if not code:
        print(f"Thank you for installing GitLab!\nGitLab should be available at {config.with_scheme(url)}")
    return code


def configure_package() -> int:
    """The package's postinst: gitlab.rb, then upgrade."""
    url = os.environ.get("EXTERNAL_URL", "")
    config.write_url(config.with_scheme(url) if url else "")
    return upgrade()


def uninstall() -> int:
    """Ends what runs. It keeps a copy of the settings, with their keys, and takes a folder that is not its own."""
    for name in services.listed():
        services.command("stop", name)
    copy = config.ROOT / time.strftime("root/gitlab-cleanse-%Y-%m-%dT%H:%M")
    shutil.rmtree(copy, ignore_errors=True)
    if config.FILE.parent.exists():
        shutil.copytree(config.FILE.parent, copy)
    shutil.rmtree(config.ROOT / "tmp/opt", ignore_errors=True)
    print(f"Your config files have been backed up to {copy}.")
    return 0


def service_list() -> int:
    known = sorted({*services.ALWAYS, *services.MONITORING})
    print("\n".join(name + ("*" if name in services.listed() else "") for name in known))
    return 0


def tail(names: list[str]) -> int:
    folders = [config.LOGS / n for n in names] or [config.LOGS]
    files = [str(p) for folder in folders for p in folder.rglob("*") if p.is_file()]
    return subprocess.run(["tail", "-F", *files]).returncode


def main(argv: list[str]) -> int:
    word, names = (argv or ["help"])[0], argv[1:]
    alone = {"reconfigure": reconfigure, "upgrade": upgrade, "service-list": service_list, "package": configure_package,
             "uninstall": uninstall}  # fmt: skip
    if word in alone:
        if names:
            print(f"The command {word} does not accept any arguments", file=sys.stderr)
            return 2
        if word != "service-list" and os.geteuid():
            print("This command must be executed as root user")
            return 1
        return alone[word]()
    if word in ("start", "stop", "restart", "status"):
        return min(255, sum([services.command(word, name) for name in names or services.listed()]))
    if word == "tail":
        return tail(names)
    print(HELP if word not in ("help", "--help") else HELP.partition("\n")[2])
    return 0 if word in ("help", "--help") else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
