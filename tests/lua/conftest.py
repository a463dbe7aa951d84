# SPDX-License-Identifier: Apache-2.0
import pytest

from redis_server import INVENTORY, TESTER, RedisServer, Verbs


@pytest.fixture(scope="session", name="redis_server")
def _redis_server():
    server = RedisServer()
    yield server
    server.remove()


@pytest.fixture(name="redis")
def _redis(redis_server):
    """An empty Redis with the library and the inventory."""
    redis_server.ask(TESTER, "CONFIG", "SET", "maxmemory", "0")
    redis_server.ask(TESTER, "FLUSHALL")
    redis_server.load()
    verbs = Verbs(redis_server.ask)
    assert verbs.publish(INVENTORY) == ["ok"]
    return redis_server


@pytest.fixture(name="verbs")
def _verbs(redis):
    """Each call as the user whose verb it is."""
    return Verbs(redis.ask)


@pytest.fixture(name="tester")
def _tester(redis):
    """Commands as a user who may do everything, to look behind the verbs."""
    return lambda *words: redis.cli(TESTER, *words)
