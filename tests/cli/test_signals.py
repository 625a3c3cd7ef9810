"""SIGHUP, SIGTERM and SIGINT on the real gunicorn, while it is asked and while clients are slow."""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
import requests

from testbed.process import heap
from tests.builders import ADMIN, LEFT_OUT, URL_TOKEN
from tests.served import LONG, Served, serving

PUSH = {"push_data": {"tag": "latest"}, "repository": {"repo_name": "acme/site"}}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """Up and answering; engine and registry are not there."""
    with serving(tmp_path) as made:
        yield made


def push(served: Served, number: int, token: str = URL_TOKEN) -> requests.Response:
    """A delivery that differs from the others."""
    body = {**PUSH, "callback_url": f"https://example.com/{number}"}
    return requests.post(f"{served.url}/hooks/hub/{token}", json=body, timeout=LONG)


def slow(served: Served) -> socket.socket:
    """A client that has sent half of a request, and will never send the rest."""
    connection = socket.create_connection(("127.0.0.1", served.port), timeout=LONG)
    head = f"POST /hooks/hub/{URL_TOKEN} HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\n"
    connection.sendall(head.encode() + b"{")
    return connection


def _reloaded(served: Served, times: int) -> bool:
    return len(served.told("configuration reloaded")) == times


class TestReload:
    def test_loses_no_delivery(self, served: Served) -> None:
        """Each is answered, and what was acknowledged is known afterwards."""
        worker, over, answers = served.worker(), threading.Event(), []

        def send(first: int) -> list[requests.Response]:
            sent: list[requests.Response] = []
            while not over.is_set():
                sent.append(push(served, first + len(sent)))
            return sent

        with ThreadPoolExecutor(4) as pool:
            senders = [pool.submit(send, 100_000 * number) for number in range(4)]
            for number in range(1, 6):
                served.reload()
                served.until(partial(_reloaded, served, number))
            over.set()
            for sender in senders:
                answers += sender.result()
        assert {answer.status_code for answer in answers} == {202}
        assert len(answers) > 20
        for answer in answers:
            found = requests.get(
                f"{served.url}/api/v1/deliveries/{answer.json()['delivery']}", timeout=LONG
            )
            assert found.ok
        assert served.worker() == worker

    def test_takes_what_is_good_and_refuses_what_is_not(self, served: Served) -> None:
        """And the access log knows the sources that there are now."""
        served.configure({"parallel": "none", "workloads.web.image": "Not An Image"})
        served.reload()
        served.until(lambda: served.told("configuration refused"))
        places = [line["detail"].split(":")[0] for line in served.told("configuration problem")]
        assert places == ["parallel", "workloads.web.image"]
        assert push(served, 1).status_code == 202
        served.configure({"parallel": 4, "workloads.web.image": "127.0.0.1:1/acme/web"})
        served.configure({"sources.another": {"kind": "dockerhub", "token": "another-token-here"}})
        served.reload()
        served.until(lambda: served.told("configuration reloaded"))
        url = f"{served.url}/hooks/another"
        assert requests.post(f"{url}/another-token-here", json=PUSH, timeout=LONG).ok
        assert requests.get(url, timeout=LONG).status_code == 405
        served.until(lambda: '"GET /hooks/another" 405' in served.log.read_text())
        assert "another-token-here" not in served.log.read_text()

    def test_a_worker_that_dies_comes_back_under_what_was_good_last(self, served: Served) -> None:
        """Out of memory while the file is being edited: half an edit must not end the launcher."""
        served.configure({"sources.ci": LEFT_OUT})
        served.reload()
        served.until(lambda: served.told("configuration reloaded"))
        served.config.write_text("half of an ed")
        worker = served.worker()
        os.kill(worker, signal.SIGKILL)
        served.until(lambda: served.workers() not in ([], [worker]) and served.answers())
        assert push(served, 1).status_code == 202
        assert requests.post(f"{served.url}/hooks/ci", timeout=LONG).status_code == 404

    def test_costs_next_to_no_memory(self, served: Served) -> None:
        """Nothing is kept of the old configuration, and no page that both processes share is lost.

        After the first four, eight reloads take 1 MiB; when old services wait for Python's
        collector, 6. Of 23 MiB of shared pages 2 are lost; when the collector may write into
        them, 11. Only the launcher's own pages are counted, once its first threads have run.
        """
        before = heap(served.process.pid)
        for number in range(1, 5):
            served.reload()
            served.until(partial(_reloaded, served, number))
        warm = heap(served.process.pid)
        for number in range(5, 13):
            served.reload()
            served.until(partial(_reloaded, served, number))
        served.until(lambda: heap(served.process.pid).pss_mib < warm.pss_mib + 4)
        assert heap(served.process.pid).shared_mib > before.shared_mib - 6

    def test_a_hang_up_of_the_terminal_ends_nothing(self, served: Served) -> None:
        """It goes to every process of the group: the master and the worker."""
        worker = served.worker()
        os.kill(worker, signal.SIGHUP)
        served.reload()
        served.until(lambda: served.told("configuration reloaded"))
        assert push(served, 1).status_code == 202
        assert served.worker() == worker


class TestStop:
    def test_waits_for_slow_clients_only_a_while(self, served: Served) -> None:
        """One that never finishes its request must not use up the time of a deployment."""
        with ExitStack() as connections:
            for _ in range(20):  # more than there are threads
                connections.enter_context(slow(served))
            start = time.monotonic()
            assert served.stop() == 0
            assert time.monotonic() - start < 20
        assert "stopped" in served.log.read_text()

    @pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
    def test_a_second_signal_does_no_harm(
        self, served: Served, second: signal.Signals, tmp_path: Path
    ) -> None:
        """Impatience is human; what was acknowledged is still there at the next start."""
        delivery = push(served, 1).json()["delivery"]
        with slow(served):
            served.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)  # somewhere in the stop
            start = time.monotonic()
            assert served.stop(second) == 0
            assert time.monotonic() - start < 20
        with serving(tmp_path) as again:
            url = f"{again.url}/api/v1/deliveries/{delivery}"
            assert requests.get(url, timeout=LONG).ok

    def test_an_interrupt_at_the_terminal_stops_it(self, served: Served) -> None:
        """Ctrl-C: to the master and the worker at once."""
        worker = served.worker()
        start = time.monotonic()
        os.kill(worker, signal.SIGINT)
        assert served.stop(signal.SIGINT) == 0
        assert time.monotonic() - start < 20

    def test_while_deliveries_come_none_that_was_acknowledged_is_lost(
        self, served: Served, tmp_path: Path
    ) -> None:
        """A delivery is answered 2xx only when it is in the journal, also by one that stops."""
        acknowledged: list[str] = []
        stopped = threading.Event()

        def send(first: int) -> None:
            number = first
            while not stopped.is_set():
                number += 1
                try:
                    answer = push(served, number)
                except requests.ConnectionError:
                    continue
                if answer.status_code == 202:
                    acknowledged.append(answer.json()["delivery"])

        with ThreadPoolExecutor(4) as pool:
            for thread in range(4):
                pool.submit(send, 100_000 * thread)
            served.until(lambda: len(acknowledged) > 20)
            assert served.stop() == 0
            stopped.set()
        with serving(tmp_path) as again:
            for delivery in acknowledged:
                url = f"{again.url}/api/v1/deliveries/{delivery}"
                assert requests.get(url, timeout=LONG).ok
            headers = {"Authorization": f"Bearer {ADMIN}"}
            url = f"{again.url}/api/v1/workloads/site"
            assert requests.get(url, headers=headers, timeout=LONG).json()["pending"]
