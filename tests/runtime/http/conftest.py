import pytest

from edge_ad.runtime.http.options import HttpOptions
from tests.runtime.http.fake_agent import FakeAgent
from tests.runtime.http.serving import TOKEN, Serving


@pytest.fixture
def token_file(tmp_path):
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def open_server():
    """On loopback, without a token; the agent's figures stand still."""
    agent = FakeAgent()
    agent.freeze()
    with Serving(agent) as serving:
        yield serving


@pytest.fixture
def closed_server(token_file):
    """On loopback, with a token."""
    agent = FakeAgent()
    agent.freeze()
    with Serving(agent, HttpOptions("127.0.0.1:0", str(token_file))) as serving:
        yield serving
