"""Quarantine needs a control: the former release must be healthy where the new one was not."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from testbed.images import Behaviour, Recipe
from testbed.launcher import Launcher
from tests.engine.by_hand import (
    compose,
    compose_meanwhile,
    containers_of,
    critical_events,
    edited,
    ids,
    make_switch,
    nothing_quarantined,
    quick_check,
    records_of,
    settled,
    wait_for_not_judged,
    wait_for_running,
)
from tests.engine.socket_proxy import socket_proxy
from tests.engine.stage import Stage, current, eventually, idle
from webhook_launcher.core.model import Image

pytestmark = pytest.mark.engine

SICK = Recipe("sick", Behaviour.NEVER_HEALTHY, interval=0.5, retries=1)


def deployed_by_itself(stage: Stage, launcher: Launcher, image: Image, marker: str) -> None:
    """Wait for the retry: the image runs in the end, although it was not pushed again."""

    def there() -> bool:
        assert nothing_quarantined(launcher)
        return current(launcher) == image.digest and idle(launcher)

    eventually(there, 90)
    assert stage.serves() == marker
    assert records_of(launcher, image)[0]["status"] == "success"
    assert nothing_quarantined(launcher)


class TestBothFail:
    """When no release is healthy, the host is at fault and not the image."""

    def test_a_dependency_that_is_down_does_not_condemn_the_image(
        self, stage: Stage, tmp_path: Path
    ) -> None:
        """An outage of the database is no reason never to run a good image again."""
        switch = make_switch(tmp_path)
        switch.on()
        one = stage.push(Recipe("one"))
        app = {"healthcheck": quick_check("cat /switch/on"), "volumes": [switch.mount]}
        launcher = stage.launch({"app": stage.service() | app})
        settled(launcher, one)
        switch.off()
        two = stage.push(Recipe("two"))
        assert stage.announce(launcher, two).status == 202
        wait_for_not_judged(launcher, two)
        assert nothing_quarantined(launcher)
        switch.on()
        eventually(lambda: any(_is_healthy(found) for found in containers_of(stage)))
        deployed_by_itself(stage, launcher, two, "two")

    def test_a_wrong_line_in_the_compose_file_does_not_condemn_the_image(
        self, stage: Stage
    ) -> None:
        """The file is the operator's mistake; with the line corrected, the image must run."""
        one = stage.push(Recipe("one", interval=0.5))
        launcher = stage.launch()
        settled(launcher, one)
        with edited(stage) as services:
            services["app"]["healthcheck"] = quick_check("wget -q -O- http://127.0.0.1:8081/")
        two = stage.push(Recipe("two", interval=0.5))
        assert stage.announce(launcher, two).status == 202
        wait_for_not_judged(launcher, two)
        assert nothing_quarantined(launcher)
        with edited(stage) as services:
            services["app"]["healthcheck"] = quick_check("wget -q -O- http://127.0.0.1:8080/")
        deployed_by_itself(stage, launcher, two, "two")


def _is_healthy(container: dict[str, Any]) -> bool:
    return bool(container["State"].get("Health", {}).get("Status") == "healthy")


def test_a_first_deployment_without_its_database_is_tried_again(stage: Stage) -> None:
    """Nothing ran before, so nothing can tell whether the image or the host is at fault."""
    database = f"{stage.repository}-db"
    stage.registry.push(database, "1", Recipe("db", interval=None))
    one = stage.push(Recipe("one"))
    app = {"depends_on": ["db"], "healthcheck": quick_check("wget -q -O- http://db:8080/")}
    db = {"image": f"{stage.registry.host}/{database}:1", "init": True}
    launcher = stage.launch({"app": stage.service() | app, "db": db})
    wait_for_not_judged(launcher, one)
    assert nothing_quarantined(launcher)
    compose(stage, "up", "-d", "--no-deps", "db")
    deployed_by_itself(stage, launcher, one, "one")


def _restart(stage: Stage, container: dict[str, Any]) -> None:
    stage.host.docker("restart", "-t", "1", container["Id"])


def _stop(stage: Stage, container: dict[str, Any]) -> None:
    stage.host.docker("stop", "-t", "1", container["Id"])


def _remove(stage: Stage, container: dict[str, Any]) -> None:
    stage.host.docker("rm", "-f", container["Id"])


class TestSomebodyInterferes:
    """A container that was not left alone says nothing about its image."""

    @pytest.mark.parametrize(("times", "act"), [(2, _restart), (2, _stop), (2, _remove)])
    def test_by_acting_on_the_container_while_the_gate_waits(
        self,
        stage: Stage,
        tmp_path: Path,
        times: int,
        act: Callable[[Stage, dict[str, Any]], None],
    ) -> None:
        """`autoheal`, a cron job or a person must not be able to condemn a good image."""
        switch = make_switch(tmp_path)
        one = stage.push(Recipe("one", interval=0.5))
        launcher = stage.launch({"app": stage.service() | {"volumes": [switch.mount]}})
        settled(launcher, one)
        two = stage.push(switch.image("two"))
        assert stage.announce(launcher, two).status == 202
        before = ""
        for _ in range(times):
            found = wait_for_running(stage, "two", later_than=before)
            before = found["State"]["StartedAt"]
            act(stage, found)
        switch.on()
        deployed_by_itself(stage, launcher, two, "two")
        assert "failure" not in [record["status"] for record in launcher.history("web")]

    def test_by_starting_the_tags_image_while_the_gate_waits(
        self, stage: Stage, tmp_path: Path
    ) -> None:
        """`docker compose up -d` does not know the pin: an older image then runs for a moment."""
        switch = make_switch(tmp_path)
        one = stage.push(Recipe("one", interval=0.5))
        launcher = stage.prepare({"app": stage.service() | {"volumes": [switch.mount]}})
        compose(stage, "up", "-d")
        launcher.start()
        settled(launcher, one)
        two = stage.push(switch.image("two"))
        assert stage.announce(launcher, two).status == 202
        before = ""
        for _ in range(2):
            before = wait_for_running(stage, "two", later_than=before)["State"]["StartedAt"]
            # Two commands on one service can meet: this one may lose, and its exit status says so.
            with compose_meanwhile(stage, "up", "-d") as by_hand:
                by_hand.communicate(timeout=60)
        switch.on()
        deployed_by_itself(stage, launcher, two, "two")
        assert "failure" not in [record["status"] for record in launcher.history("web")]


def test_a_host_that_forbids_exec_can_deploy(stage: Stage) -> None:
    """Socket proxies answer 403 to `exec`; the engine's own verdict is as good as a probe."""
    one = stage.push(Recipe("one", interval=0.5))
    launcher = stage.prepare()
    compose(stage, "up", "-d")
    exec_calls = (r"POST /containers/[^/]+/exec", r"\w+ /exec/")
    with socket_proxy(stage.host.environment["DOCKER_HOST"], exec_calls) as address:
        forbidden = subprocess.run(
            ["docker", "--host", address, "exec", containers_of(stage)[0]["Id"], "ls"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "403" in forbidden.stderr
        launcher.environment = {"DOCKER_HOST": address}
        launcher.start()
        settled(launcher, one)
        intent = stage.push_and_follow(launcher, Recipe("two", interval=0.5))
        assert intent["status"] == "success"
        assert stage.serves() == "two"
        assert nothing_quarantined(launcher)
        launcher.stop()


def test_files_that_compose_cannot_read_cost_a_delay_and_no_alarm(stage: Stage) -> None:
    """A secrets tool replaces an env file; what runs is untouched, so nobody must be woken."""
    variables = stage.host.directory / "app.env"
    variables.write_text("A=1\n")
    one = stage.push(Recipe("one", interval=0.5))
    launcher = stage.launch({"app": stage.service() | {"env_file": [str(variables)]}})
    settled(launcher, one)
    before = containers_of(stage)
    away = variables.rename(variables.with_name("away.env"))
    two = stage.push(Recipe("two", interval=0.5))
    answer = stage.announce(launcher, two)
    eventually(lambda: _codes(launcher, two, answer.body["delivery"]) != set())
    assert _codes(launcher, two, answer.body["delivery"]) == {"not-judged"}
    assert stage.serves() == "one"
    assert [(c["Id"], c["State"]["StartedAt"]) for c in containers_of(stage)] == [
        (c["Id"], c["State"]["StartedAt"]) for c in before
    ]
    assert nothing_quarantined(launcher)
    away.rename(variables)
    deployed_by_itself(stage, launcher, two, "two")
    assert critical_events(launcher) == []
    assert ids(containers_of(stage)) != ids(before)


def _codes(launcher: Launcher, image: Image, delivery: str) -> set[str]:
    """Return the codes by which an attempt shows: of its records and of the open intents."""
    intents = launcher.get(f"/api/v1/deliveries/{delivery}").body["intents"]
    return {one["code"] for one in (*records_of(launcher, image), *intents) if one["code"]}


class TestCondemned:
    """An image that failed where the former release is healthy is not tried again."""

    def test_a_sick_image_is_quarantined_and_no_redelivery_calls_it_a_success(
        self, stage: Stage
    ) -> None:
        """A sender that is told `success` believes that its image runs."""
        one = stage.push(Recipe("one", interval=0.5))
        launcher = stage.launch()
        settled(launcher, one)
        sick = stage.push(SICK)
        first = stage.announce(launcher, sick, delivery="first")
        (failed,) = launcher.outcome(first.body["delivery"])
        assert (failed["status"], failed["code"]) == ("failure", "unhealthy")
        assert launcher.workload("web")["quarantined"] == [sick.digest]
        assert stage.serves() == "one"
        before = ids(containers_of(stage))
        same = stage.announce(launcher, sick, delivery="first")
        (repeated,) = launcher.outcome(same.body["delivery"])
        assert repeated["status"] == "failure"
        again = stage.announce(launcher, sick, delivery="second")
        (redelivered,) = launcher.outcome(again.body["delivery"])
        assert redelivered["status"] != "success"
        assert sick.digest in redelivered["detail"]
        assert ids(containers_of(stage)) == before

    def test_a_redelivery_of_an_image_that_was_rolled_back_is_no_success(
        self, stage: Stage
    ) -> None:
        """The operator's order stands, and the answer must not say otherwise."""
        one = stage.push(Recipe("one", interval=0.5))
        launcher = stage.launch()
        settled(launcher, one)
        two = stage.push(Recipe("two", interval=0.5))
        (done,) = launcher.outcome(stage.announce(launcher, two).body["delivery"])
        assert done["status"] == "success"
        rolled_back = launcher.run("rollback", "web", "--wait")
        assert rolled_back.returncode == 0, rolled_back.stdout
        eventually(lambda: idle(launcher))
        (redelivered,) = launcher.outcome(stage.announce(launcher, two).body["delivery"])
        assert redelivered["status"] != "success"
        assert stage.serves() == "one"
