"""The model's repository and its pipelines, in GitLab's stand-in, by git and the API; a runner of the test's own."""

import contextlib
import json
import threading

import pytest
from serving import until

from helpers.components.end_to_end import repository
from helpers.components.end_to_end.delivery import Delivery
from helpers.components.pachyderm.client import NotFound
from helpers.core import notebooks
from helpers.core.errors import RunbookError, Unmet


class Stage:
    """Pictures and labels, whose newest commits a test sets."""

    def __init__(self):
        self.newest, self.wrong, self.peoples = "c1", ["2_Pullover/0.png"], None

    def why_peoples(self):
        return self.peoples

    def head(self):
        return self.newest

    def names(self, repo, commit):
        return [f"{repo}/{commit}/0"]

    def wrong_in(self, commit):
        if commit == "gone":
            raise NotFound("ask pachd", saw="commit gone not found")
        return self.wrong if commit == "c1" else []

    def commit(self, repo, commit):
        return commit


@pytest.fixture
def delivery(repo):
    return Delivery(repo, Stage(), Stage())


def test_an_answer_of_gitlabs_that_is_late_ends_no_wait_for_a_pipeline(delivery, monkeypatch):
    failed, seen = {"id": 1, "status": "failed"}, [Unmet("an answer of GitLab", "ReadTimeout"), None]

    def newest(**which):
        if seen and isinstance(seen[0], Exception):
            raise seen.pop(0)
        return seen.pop(0) if seen else failed

    monkeypatch.setattr(delivery, "newest", newest)
    monkeypatch.setattr(delivery, "jobs", lambda pipeline: [])
    monkeypatch.setattr(delivery, "_over", lambda sha: False)
    with pytest.raises(RunbookError, match="pipeline 1 is failed"):
        delivery.follow("0" * 40)
    assert not seen


def test_a_file_that_gitlab_does_not_tell_of_is_not_pushed_again(delivery, monkeypatch):
    def late(path):
        raise Unmet("an answer from GitLab", "no answer: ReadTimeout")

    monkeypatch.setattr(delivery.repo, "head", lambda: {"id": "0" * 40})
    monkeypatch.setattr(delivery.repo, "read", late)
    monkeypatch.setattr(delivery.repo, "push", lambda changes, message: pytest.fail("it was pushed"))
    with pytest.raises(Unmet, match="an answer from GitLab"):
        delivery._pushed({"model.py": "x"}, "Another model")


class Runner:
    """A runner that ends each job as it is told: states {job: how it ends}, "success" for others."""

    def __init__(self, repo, **states):
        self.git, self.api, self.states = repo.git, repo.api(), states
        ask = "puts Gitlab::CurrentSettings.current_application_settings.runners_registration_token"
        out = repo.server.run("rails", "runner", "-", stdin=ask).stdout
        self.token = self.api.http_post("/runners", post_data={"token": out.strip()})["token"]

    def one(self):
        """Take a job and end it; its name, "" when there is none."""
        job = self.api.http_post("/jobs/request", post_data={"token": self.token})
        if not isinstance(job, dict) or "id" not in job:
            return ""
        name = job["job_info"]["name"]
        ends = {"token": job["token"], "state": self.states.get(name, "success")}
        if ends["state"] == "failed":
            ends["failure_reason"] = "script_failure"
            self._say(job, b"\x1b[0KERROR: no such data\n")
        self.api.http_put(f"/jobs/{job['id']}", post_data=ends)
        return name

    def _say(self, job, text):
        about = {"JOB-TOKEN": job["token"], "Content-Type": "text/plain", "Content-Range": f"0-{len(text) - 1}"}
        with self.git.session() as http:
            said = http.patch(f"{self.git.local}/api/v4/jobs/{job['id']}/trace", data=text, headers=about)
        assert said.status_code == 202, said.text

    @contextlib.contextmanager
    def at_work(self):
        """It takes jobs until the block ends."""
        over = threading.Event()
        worker = threading.Thread(target=lambda: [self.one() or over.wait(0.2) for _ in iter(over.is_set, True)])
        worker.start()
        try:
            yield self
        finally:
            over.set()
            worker.join()


def test_the_repository_has_all_but_what_the_cluster_gets(repo):
    assert {".gitlab-ci.yml", "model.py", "train.py", "ci/roll_out.py"} <= set(repository.files())
    assert "deployer.yaml" not in repository.files()


def test_a_project_of_somebodys_is_named_and_not_deleted(repo):
    repo.api().http_put(repo.url(), post_data={"description": "mine"})
    try:
        assert repo.why_others() == "there is a project root/clothes of somebody's"
        repo._delete()
        assert repo.found()
    finally:
        repo.api().http_put(repo.url(), post_data={"description": repository.OURS})


def test_keys_are_masked_and_addresses_are_not_and_a_second_install_changes_nothing(repo):
    wanted = repo.variables({"IMAGE": "a/b"}, {"KEY": lambda: "very-secret-key"}, {"CA": lambda: "-----\nPEM\n"})
    assert "missing" in wanted.probe()
    wanted.apply()
    assert wanted.probe() is None
    there = repo._variables()
    assert [there[name]["masked"] for name in ("IMAGE", "KEY", "CA")] == [False, True, False]
    assert there["CA"]["variable_type"] == "file" and not there["KEY"]["protected"]
    repo.api().http_put(repo.url("/variables/KEY"), post_data={"value": "very-secret-key", "masked": False})
    assert wanted.probe() == "missing, or others: KEY"


def test_a_value_that_gitlab_does_not_hide_is_refused_by_name_and_without_it(repo):
    """The bare 400 named neither the variable nor what to do."""
    with pytest.raises(RunbookError) as e:
        repo.variables({}, {"KEY": lambda: "a!b#cdefgh"}, {}).apply()
    assert "variable KEY" in e.value.what and "400" in e.value.saw and "a!b#cdefgh" not in str(vars(e.value))
    assert e.value.do


def test_what_is_pushed_is_there_and_a_second_push_keeps_what_it_does_not_name(repo):
    first = repo.push({"a": "1\n", "b/c": "2\n"}, "First")
    second = repo.push({"a": "3\n"}, "Second")
    assert repo.head()["id"] == second != first
    assert (repo.read("a"), repo.read("b/c"), repo.read("a", first)) == ("3\n", "2\n", "1\n")
    with pytest.raises(repository.NoFile, match="there-is-none"):
        repo.read("there-is-none")


def _by_hand(repo, branch, **more):
    content = {"branch": branch, "commit_message": "By hand", "author_email": "me@example.com", "author_name": "Me"}
    content["actions"] = [{"action": "create", "file_path": "mine", "content": "x"}]
    repo.api().http_post(repo.url("/repository/commits"), post_data=dict(content, **more))


def test_commits_of_others_keep_remove_from_taking_the_project(repo):
    assert repo.why_peoples() is None, "nothing was ever pushed"
    repo.push({"a": "1\n"}, "First")
    assert repo.why_peoples() is None
    _by_hand(repo, "master")
    assert repo.why_peoples() == "1 commits of others on master, the newest Me's: By hand"


def test_a_commit_of_others_is_seen_below_a_hundred_of_ours(repo):
    _by_hand(repo, "master")
    with repo._clone() as folder:
        for number in range(100):
            repo.git.git(folder, "commit", "-q", "--allow-empty", "-m", str(number))
        repo.git.git(folder, "push", "-q", repo.git.remote(repository.PATH), "HEAD:refs/heads/master")
    assert repo.why_peoples() == "1 commits of others on master, the newest Me's: By hand"


@pytest.fixture
def behind(repo):
    """GitLab's own address leads nowhere from this machine, as behind a bastion."""
    server, rb = repo.server, repo.server.folder / "etc/gitlab/gitlab.rb"
    was, port = rb.read_text(), server.url.rpartition(":")[2]
    rb.write_text(was.replace(server.url, "http://gitlab.invalid") + f"\nnginx['listen_port'] = {port}\n")
    for text in (None, was):
        if text:
            rb.write_text(text)
        done = server.run("ctl", "reconfigure")
        assert done.returncode == 0, done.stdout + done.stderr
        until("the stand-in", lambda: repo.git.why_not_ready() is None)
        if not text:
            yield repo


def test_a_list_of_many_pages_is_asked_through_the_tunnel_alone(behind):
    assert behind.git.get("/api/v4/version", headers={"PRIVATE-TOKEN": behind.git.token()}).status_code == 200
    test_a_commit_of_others_is_seen_below_a_hundred_of_ours(behind)


def test_a_branch_of_others_keeps_it_too(repo):
    repo.push({"a": "1\n"}, "First")
    _by_hand(repo, "trial", start_branch="master")
    assert repo.why_peoples() == "branch trial of Me"


def test_a_branch_of_others_counts_also_where_there_is_no_master(repo):
    _by_hand(repo, "trial")
    assert repo.head() is None and repo.why_peoples() == "branch trial of Me"


def test_what_people_wrote_beside_the_repository_keeps_it(repo, monkeypatch):
    for title in ("It mixes up coats", "Bags as well"):
        repo.api().http_post(repo.url("/issues"), post_data={"title": title})
    assert repo.why_peoples() == "2 issues, the newest Administrator's: Bags as well"
    asked = repo._all
    of_ann = [{"author": {"name": "Ann"}, "title": "From a fork"}]
    monkeypatch.setattr(repo, "_all", lambda rest, **w: of_ann if rest == "/merge_requests" else asked(rest, **w))
    assert repo.why_peoples().endswith(", 1 merge requests, the newest Ann's: From a fork")


def test_a_project_of_somebodys_stays_whatever_is_in_it(repo):
    _by_hand(repo, "trial")
    repo.api().http_put(repo.url(), post_data={"description": "mine"})
    assert repo.why_peoples() is None
    repo.api().http_put(repo.url(), post_data={"description": repository.OURS})


def test_a_gitlab_that_refuses_to_tell_is_no_proof_that_nothing_is_there(repo, monkeypatch):
    monkeypatch.setattr(repo, "url", lambda rest="": "/projects/root%2Fgone" + rest)
    with pytest.raises(RunbookError) as e:
        repo.why_peoples()
    assert e.value.what == "ask for repository/branches of root/clothes" and "404" in e.value.saw


def test_remove_asks_each_system_for_what_is_peoples(delivery, repo):
    assert delivery.why_peoples() is None
    repo.api().http_post(repo.url("/issues"), post_data={"title": "It mixes up coats"})
    said = "1 issues, the newest Administrator's: It mixes up coats"
    assert delivery.why_peoples() == said
    delivery.pictures.peoples, delivery.labels.peoples = "files", "labels"
    assert delivery.why_peoples() == "files; labels; " + said
    assert notebooks.find("end_to_end").path.read_text().count("delivery.why_peoples") == 1


def test_a_push_names_the_commits_that_it_is_trained_on(delivery):
    data = json.loads(delivery.now())
    assert data["labels"] == {"repo": "clothes_labels", "commit": "c1", "files": ["clothes_labels/c1/0"]}
    assert data["pictures"]["repo"] == "clothes_outline"


def test_pushes_are_followed_to_their_end_and_trained_on_right_labels_once_there_are_some(delivery, repo):
    first, again = delivery.first(), delivery.trained_on_corrected(lambda commit: None)
    assert first.probe() == "nothing was ever pushed to root/clothes"
    with Runner(repo).at_work():
        first.apply()
        assert first.probe() is None
        assert again.probe() == "it is trained on commit c1, where 1 labels are wrong"
        delivery.labels.newest = "c2"
        again.apply()
    assert again.probe() is None and repo.data()["labels"]["commit"] == "c2"
    found = delivery.newest(status="success")
    assert [job["name"] for job in delivery.jobs(found["id"])] == ["test", "train", "build", "deploy"]
    other = delivery.trained_on_corrected(lambda commit: f"not {commit}")
    assert other.probe() == "not " + repo.head()["id"]


def test_a_job_that_fails_is_told_with_its_name_and_ends_the_wait(delivery, repo):
    with Runner(repo, train="failed").at_work(), pytest.raises(RunbookError) as e:
        delivery.first().apply()
    assert "job train of pipeline" in e.value.saw and "no such data" in e.value.saw
    assert "no pipeline of it ended well" in delivery.first().probe()


def test_a_broken_model_ends_at_its_test_and_is_mended_by_the_next_push_or_install(delivery, repo):
    delivery.labels.newest = "c2"
    with Runner(repo).at_work():
        delivery.first().apply()
    model, step = repo.read(repository.MODEL), delivery.trained_on_corrected(lambda commit: None)
    for mends in (step.apply, delivery.push_changed):
        with Runner(repo, test="failed").at_work():
            states = {job["name"]: job["status"] for job in delivery.push_broken()}
        assert states == {"test": "failed", "train": "skipped", "build": "skipped", "deploy": "skipped"}
        assert "must not be served" in repo.read(repository.MODEL) and "job test of" in step.probe()
        with Runner(repo).at_work():
            mends()
        assert step.probe() is None and repo.read(repository.MODEL) == model
    assert json.loads(repo.read(repository.SETTINGS))["temperature"] == 2.0


def test_a_repository_that_names_commits_which_pachyderm_lost_is_trained_anew(delivery, repo):
    delivery.labels.newest = "gone"
    with Runner(repo).at_work():
        delivery.first().apply()
    step = delivery.trained_on_corrected(lambda commit: None)
    assert step.probe() == "it is trained on what Pachyderm does not have: commit gone not found"
    delivery.labels.newest = "c2"
    with Runner(repo).at_work():
        step.apply()
    assert step.probe() is None


def test_what_lay_in_a_gitlab_that_is_gone_went_with_it(repo, monkeypatch):
    """Remove once more, when chapter 11 is away too. One that is only down tells nothing, and that is an error."""
    with monkeypatch.context() as down:
        down.setattr(repo.git, "local", "http://127.0.0.1:1")
        with pytest.raises(Unmet):
            repo.why_peoples()
        down.setattr(repo.server, "away", True)
        assert repo.why_peoples() is None and repo.project().absent() is None


@pytest.mark.parametrize("ask", ["found", "head"])
def test_a_gitlab_that_is_down_is_named_with_its_host_and_a_row_of_this_chapter(repo, ask, monkeypatch):
    with monkeypatch.context() as down, pytest.raises(Unmet) as e:
        down.setattr(repo.git, "local", "http://127.0.0.1:1")
        getattr(repo, ask)()
    assert "GitLab on local" in str(e.value) and e.value.entry == "e2e-down"
    do = repo.ch.notebook.entries[e.value.entry].do
    assert "./runbook up --only gitlab" in do
