"""gitlab-rails runner: the few statements of GitLab's documentation that make a token, read one or set a password.

Other Ruby it refuses with an error and exit code 1, before it has changed anything.
"""

from __future__ import annotations

import ast
import re
import sys
import time
from pathlib import Path

import config
import store

STRING = r"(?:'[^'\\]*'|\"[^\"\\#]*\")"
NAME = r"([a-z_]\w*)"
FIND = rf"User\.find_by(?:_username\(({STRING})|\(username: ({STRING}))\)"
INVALID = "ActiveRecord::RecordInvalid: Validation failed: "
SCOPES = {"api", "read_user", "read_api", "read_repository", "write_repository", "sudo"}


class RubyError(Exception):
    """What Ruby would have raised."""


def _text(literal: str) -> str:
    return str(ast.literal_eval(literal))


def _date(said: str | None) -> str | None:
    if not said or said == "nil":
        return None
    days = re.fullmatch(r"(\d+)\.days?\.from_now", said)
    if days:
        return time.strftime("%Y-%m-%d", time.gmtime(time.time() + 86400 * int(days.group(1))))
    return _text(said)


class Script:
    """One run: the variables that the statements set."""

    def __init__(self, kept: store.Store):
        self.kept, self.users, self.tokens, self.values, self.passwords = kept, {}, {}, {}, {}

    def run(self, statement: str) -> None:
        for pattern, do in STATEMENTS:
            found = re.fullmatch(pattern, statement)
            if found:
                do(self, *found.groups())
                return
        raise RubyError(f"NotImplementedError: this stand-in does not run: {statement}")

    def known(self, there: dict, name: str) -> dict:
        if name not in there:
            raise RubyError(f"NameError: undefined local variable or method `{name}' for main:Object")
        if there[name] is None:
            raise RubyError("NoMethodError: undefined method for nil:NilClass")
        return there[name]

    def find_user(self, name: str, literal: str) -> None:
        self.users[name] = self.kept.one("user", username=_text(literal))

    def owner(self, said: str) -> dict:
        """A user by the name of a variable, or by the call that finds one."""
        call = re.fullmatch(FIND, said)
        if call:
            self.find_user("", call.group(1) or call.group(2))
        return self.known(self.users, "" if call else said)

    def create(self, name: str, owner: str, arguments: str) -> None:
        given = dict(re.findall(rf"(\w+):\s*(\[[^\]]*\]|{STRING}|[\w.]+)", arguments))
        scopes = re.findall(r"\w+", given.get("scopes", ""))
        user = self.owner(owner)
        if not scopes or set(scopes) - SCOPES:
            wrong = "can only contain available scopes" if scopes else "can't be blank"
            raise RubyError(f"{INVALID}Scopes {wrong}")
        made, value = self.kept.add_token(user, _text(given.get("name", "''")), scopes, _date(given.get("expires_at")))
        self.tokens[name], self.values[name] = made, value

    def first_or_create(self, name: str, owner: str, arguments: str) -> None:
        found = self.kept.one("token", user_id=self.owner(owner)["id"])
        if not found:
            return self.create(name, owner, arguments)
        self.tokens[name], self.values[name] = found, ""  # its value is known to nobody

    def set_token(self, name: str, literal: str) -> None:
        self.values[name] = _text(literal)
        self.known(self.tokens, name)["digest"] = store.digest(self.values[name])

    def set_password(self, name: str, field: str, literal: str) -> None:
        self.known(self.users, name)
        self.passwords.setdefault(name, {})[field] = _text(literal)

    def save(self, name: str) -> None:
        if name in self.tokens:
            self.kept.put("token", self.tokens[name])
        else:
            user = self.known(self.users, name)
            self.kept.put("user", {**user, **self.new_password(name)})

    def new_password(self, name: str) -> dict:
        given = self.passwords.get(name, {})
        password, again = given.get("password"), given.get("password_confirmation")
        if again is not None and again != password:
            raise RubyError(
                "ActiveRecord::RecordInvalid: Validation failed: Password confirmation doesn't match Password"
            )
        if password is not None and len(password) < 8:
            raise RubyError(
                "ActiveRecord::RecordInvalid: Validation failed: Password is too short (minimum is 8 characters)"
            )
        return {} if password is None else {"password": store.hashed(password)}

    def put_token(self, name: str) -> None:
        self.known(self.tokens, name)
        print(self.values[name])

    def revoke(self, literal: str) -> None:
        found = self.kept.one("token", digest=store.digest(_text(literal)))
        if not found:
            raise RubyError("NoMethodError: undefined method `revoke!' for nil:NilClass")
        self.kept.put("token", {**found, "revoked": True})

    def put_registration_token(self) -> None:
        print(self.kept.settings()["runners_registration_token"])

    def reset_registration_token(self) -> None:
        self.kept.set({"runners_registration_token": store.token20()})


STATEMENTS = [
    (rf"{NAME} = User\.find_by_username\(({STRING})\)", Script.find_user),
    (rf"{NAME} = User\.find_by\(username: ({STRING})\)", Script.find_user),
    (rf"{NAME} = (\w+|User\.[^()]*\([^()]*\))\.personal_access_tokens\.create!?\((.*)\)", Script.create),
    (rf"{NAME} = (\w+|User\.[^()]*\([^()]*\))\.personal_access_tokens\.first_or_create\((.*)\)",
     Script.first_or_create),
    (rf"{NAME}\.set_token\(({STRING})\)", Script.set_token),
    (rf"{NAME}\.(password|password_confirmation) = ({STRING})", Script.set_password),
    (rf"{NAME}\.save!", Script.save),
    (rf"puts\(?\s*{NAME}\.token\)?", Script.put_token),
    (rf"PersonalAccessToken\.find_by_token\(({STRING})\)\.revoke!", Script.revoke),
    (r"puts\(?\s*Gitlab::CurrentSettings\.(?:current_application_settings\.)?runners_registration_token\)?",
     Script.put_registration_token),
    (r"(?:ApplicationSetting\.current|Gitlab::CurrentSettings(?:\.current_application_settings)?)"
     r"\.reset_runners_registration_token!", Script.reset_registration_token),
]  # fmt: skip


def statements(text: str) -> list[str]:
    """Split at line ends and semicolons outside of quotes and brackets; no comments."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    parts = re.findall(r"(?:'[^']*'|\"[^\"]*\"|\([^()]*\)|[^;\n'\"(])+", "\n".join(lines))
    return [" ".join(part.split()) for part in parts if part.strip()]


def _script(said: str) -> str:
    if said == "-":
        return sys.stdin.read()
    path = Path(said)
    return path.read_text() if path.is_absolute() and path.is_file() else said


def main(argv: list[str]) -> int:
    if not config.RC.exists():
        print(f"{sys.argv[0]} error: could not load {config.RC}")
        print("Either you are not allowed to read the file, or it does not exist yet.")
        print("You can generate it with:   sudo gitlab-ctl reconfigure")
        return 1
    if argv[:1] not in (["runner"], ["r"]) or len(argv) != 2:
        print("this stand-in has only: gitlab-rails runner CODE|FILE|-", file=sys.stderr)
        return 1
    try:
        with store.opened() as kept:
            script = Script(kept)
            for statement in statements(_script(argv[1])):
                script.run(statement)
    except RubyError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
