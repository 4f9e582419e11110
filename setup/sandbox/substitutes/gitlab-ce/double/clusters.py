"""REST v4 of Kubernetes clusters that are joined by address, certificate and token: of the instance and of projects."""

from __future__ import annotations

import re
import ssl

import store
import url_filter
from api import Answer, Asked, Refused, find_project, message, paged, route
from endpoints import basic

PLATFORM = "platform_kubernetes_attributes"
FIELDS = ("api_url", "token", "ca_cert", "namespace", "authorization_type")
PRESETS = {"enabled": True, "domain": None, "environment_scope": "*", "managed": True,
           "namespace_per_environment": True}  # fmt: skip
NAMESPACE = "can contain only lowercase letters, digits, and '-'. Must start with a letter, and cannot end with '-'"


def _platform(asked: Asked) -> dict:
    """The platform's fields, of a JSON body or of a form's."""
    said = asked.given.get(PLATFORM)
    said = dict(said) if isinstance(said, dict) else {}
    for name in FIELDS:
        if f"{PLATFORM}[{name}]" in asked.given:
            said[name] = asked.given[f"{PLATFORM}[{name}]"]
    return {name: said[name] for name in FIELDS if name in said}


def _is_certificate(text: str) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError):
        return False
    return True


class Clusters:
    """The calls below one address; project None: of the instance."""

    def __init__(self, project: dict | None = None):
        self.project, self.owner = project, project["id"] if project else 0

    def shown(self, asked: Asked, kept: dict, changed: bool = False) -> dict:
        from projects import shown as shown_project

        user = asked.kept.one("user", id=kept["user_id"])
        names = ("api_url", "namespace", "authorization_type", "ca_cert")
        said = {
            "id": kept["id"], "name": kept["name"], "created_at": kept["created_at"], "domain": kept["domain"],
            "enabled": kept["enabled"], "managed": kept["managed"], "provider_type": "user",
            "platform_type": "kubernetes", "environment_scope": kept["environment_scope"],
            "cluster_type": "project_type" if self.project else "instance_type",
            "namespace_per_environment": kept["namespace_per_environment"],
            "user": basic(asked, user) if user else None,
            "platform_kubernetes": {name: kept["platform"].get(name) for name in names}, "provider_gcp": None,
            "management_project": None,
        }  # fmt: skip
        if self.project or changed:
            said["project"] = shown_project(asked, self.project) if self.project else None
        return said

    def find(self, asked: Asked, number: str) -> dict:
        found = asked.kept.numbered("cluster", number)
        if not found or found["owner"] != self.owner:
            raise message(404, "404 Not found")
        return found

    def list(self, asked: Asked) -> Answer:
        return paged(asked, [self.shown(asked, c) for c in asked.kept.all("cluster", owner=self.owner)])

    def one(self, asked: Asked, number: str) -> Answer:
        return Answer(200, self.shown(asked, self.find(asked, number)))

    def add(self, asked: Asked) -> Answer:
        platform = _platform(asked)
        missing = ["name is missing"] if "name" not in asked.given else []
        missing += [f"{PLATFORM}[{n}] is missing" for n in ("api_url", "token") if n not in platform]
        if "api_url" in platform and not platform["api_url"]:
            missing.append(f"{PLATFORM}[api_url] is empty")
        if missing:
            raise Refused(400, {"error": ", ".join(missing)})
        new = {"owner": self.owner, "user_id": asked.user["id"], "created_at": store.now(), **PRESETS}
        new["platform"] = {"authorization_type": "rbac"}
        made = self.checked(asked, self.changed(asked, new, platform))
        return Answer(201, self.shown(asked, asked.kept.add("cluster", **made)))

    def change(self, asked: Asked, number: str) -> Answer:
        old, platform = self.find(asked, number), _platform(asked)
        platform.pop("authorization_type", None)  # it stays as it was
        made = self.checked(asked, self.changed(asked, old, platform))
        asked.kept.put("cluster", made)
        return Answer(200, self.shown(asked, made, changed=True))

    def delete(self, asked: Asked, number: str) -> Answer:
        found = self.find(asked, number)
        for made in asked.kept.all("namespace", cluster_id=found["id"]):
            asked.kept.drop("namespace", made)
        asked.kept.drop("cluster", found)
        return Answer(204)

    def changed(self, asked: Asked, old: dict, platform: dict) -> dict:
        if platform.get("authorization_type") not in (None, "rbac", "abac", "unknown_authorization"):
            raise Refused(400, {"error": f"{PLATFORM}[authorization_type] does not have a valid value"})
        if asked.given.get("management_project_id"):
            raise message(400, {"management_project_id": ["this stand-in for GitLab has no management projects"]})
        made = {**old, "platform": {**old["platform"], **platform}}
        for name in ("name", "domain", "environment_scope"):
            made[name] = asked.given.get(name, old.get(name))
        for name in ("enabled", "managed", "namespace_per_environment"):
            made[name] = asked.flag(name, old[name])
        return made

    def checked(self, asked: Asked, made: dict) -> dict:
        """The cluster as it would be. Refused when the model would not take it."""
        wrong = self._wrong_itself(asked, made)
        wrong.update({f"platform_kubernetes.{n}": t for n, t in self._wrong_platform(asked, made).items()})
        if wrong:
            raise message(400, {name: [text] for name, text in wrong.items()})
        return made

    def _wrong_itself(self, asked: Asked, made: dict) -> dict[str, str]:
        wrong = {}
        if not str(made["name"] or "").strip():
            wrong["name"] = " has to be present"
        scope = made["environment_scope"]
        same = asked.kept.all("cluster", owner=self.owner, environment_scope=scope)
        if any(other["id"] != made.get("id") for other in same):
            wrong["environment_scope"] = "cannot add duplicated environment scope"
        return wrong

    def _wrong_platform(self, asked: Asked, made: dict) -> dict[str, str]:
        said, wrong = made["platform"], {}
        why = url_filter.blocked(said["api_url"], asked.kept.settings(), asked.url)
        if why:
            wrong["api_url"] = f"is blocked: {why}"
        if not said.get("token"):
            wrong["token"] = "can't be blank"
        if said.get("ca_cert") and not _is_certificate(said["ca_cert"]):
            wrong["ca_cert"] = "must be a valid PEM certificate"
        space = said.get("namespace")
        if space and made["managed"] and not self.project:
            wrong["namespace"] = "only allowed for project cluster"
        elif space and not re.fullmatch(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?", space):
            wrong["namespace"] = NAMESPACE
        elif space == "gitlab-managed-apps":
            wrong["namespace"] = "is reserved"
        return wrong


INSTANCE = Clusters()


def of_project(asked: Asked, project: str) -> Clusters:
    return Clusters(find_project(asked, project, write=True))


for _place, _level, _add, _owner in (
    ("/admin/clusters", "admin", "/add", lambda asked: INSTANCE),
    ("/projects/:project/clusters", "user", "/user", of_project),
):
    route("GET", _place, _level)(lambda asked, _owner=_owner, **p: _owner(asked, **p).list(asked))
    route("POST", _place + _add, _level)(lambda asked, _owner=_owner, **p: _owner(asked, **p).add(asked))
    for _method, _do in (("GET", Clusters.one), ("PUT", Clusters.change), ("DELETE", Clusters.delete)):
        route(_method, _place + "/:number", _level)(
            lambda asked, number, _owner=_owner, _do=_do, **p: _do(_owner(asked, **p), asked, number)
        )
