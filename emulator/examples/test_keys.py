"""Tests of a client with an emulated Atlas: `pytest test_keys.py`. `atlas-model-keys` must be in the PATH."""

import json
import subprocess
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest


@pytest.fixture
def atlas():
    """Starts an emulator for one test. It is a dictionary with the base URL, ids and credentials."""
    command = ["atlas-model-keys", "emulate", "--print", "json", "--control", "--for", "10m"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as emulator:
        yield json.loads(emulator.stdout.readline())
        emulator.terminate()


def control(atlas, method, path, body=None):
    """Sends a request to the control interface."""
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(f"{atlas['baseUrl']}/_emulator/{path}", data, method=method)) as response:
        return json.load(response)


def test_keys_of_all_pages_are_listed(atlas):
    keys = list_keys(atlas)
    assert len({key["apiKeyId"] for key in keys}) == 42
    requests = control(atlas, "GET", "requests")["requests"]
    assert [request["query"] for request in requests] == [
        "itemsPerPage=20",
        "itemsPerPage=20&pageNum=2",
        "itemsPerPage=20&pageNum=3",
    ]
    assert {request["credential"] for request in requests} == {"accessToken"}


def test_request_that_fails_once_is_repeated(atlas):
    control(atlas, "PUT", "faults", ["error-json=503*1"])
    assert len(list_keys(atlas)) == 42
    requests = control(atlas, "GET", "requests?route=listGroupKeys")["requests"]
    assert [request["status"] for request in requests] == [503, 200, 200, 200]
    assert requests[0]["path"] == requests[1]["path"]


# The client that is tested; yours is in a file of its own.


def list_keys(atlas):
    url = f"{atlas['baseUrl']}/api/atlas/v2/groups/{atlas['projectId']}/aiModelApiKeys?itemsPerPage=20"
    keys = []
    while url:
        page = get(url, atlas["accessToken"])
        keys += page["results"]
        url = next((link["href"] for link in page["links"] if link["rel"] == "next"), None)
    return keys


def get(url, token, attempts=3):
    headers = {"Accept": "application/vnd.atlas.2025-03-12+json", "Authorization": f"Bearer {token}"}
    try:
        with urlopen(Request(url, headers=headers)) as response:
            return json.load(response)
    except HTTPError as error:
        if error.code != 503 or attempts == 1:
            raise
        return get(url, token, attempts - 1)
