"""An emulated Atlas for a test with pytest: `pytest test_keys.py`. `atlas-model-keys` must be in the PATH."""

import json
import subprocess
from urllib.request import Request, urlopen

import pytest


@pytest.fixture
def atlas():
    command = ["atlas-model-keys", "emulate", "--print", "json", "--for", "10m"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as emulator:
        yield json.loads(emulator.stdout.readline())
        emulator.terminate()


def test_all_keys_of_the_project_are_listed(atlas):
    url = f"{atlas['baseUrl']}/api/atlas/v2/groups/{atlas['projectId']}/aiModelApiKeys"
    headers = {
        "Accept": "application/vnd.atlas.2025-03-12+json",
        "Authorization": f"Bearer {atlas['accessToken']}",
    }
    with urlopen(Request(url, headers=headers)) as response:
        page = json.load(response)
    assert len(page["results"]) == page["totalCount"] == 42
