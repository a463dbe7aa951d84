# SPDX-License-Identifier: Apache-2.0
"""A fleet with one socket a port for all of 127/8, looked at from inside a network of its own (test_amtsim.py starts
it there): it is exclusive, so it cannot be tested beside other simulators."""

import socket

import amtsim
from amtsim import Fleet


def outcome(pc, port=16993):
    """What becomes of a connection."""
    try:
        with socket.create_connection((pc["address"], port), timeout=0.5) as client:
            client.settimeout(0.2)
            try:
                return "closed" if client.recv(1) == b"" else "spoken to"
            except TimeoutError:
                return "open"
    except OSError as error:
        return type(error).__name__


def main():
    with amtsim.fleet("--systems", 3000, "--boot-seconds", "0.2-0.3") as one:
        first, middle, last = one.pcs[0], one.pcs[1500], one.pcs[2999]
        assert last["address"] == "127.16.11.184"
        for pc in (first, middle, last):
            user = one.console(pc)
            assert user.invoke(amtsim.AMT + "AMT_SetupAndConfigurationService", "GetUuid").result == 0
            assert user.power_state() == 8
        assert one.console(middle).power(2) == 0
        one.wait_event(middle, "os-up")
        assert [outcome(pc, int(pc["probe"])) for pc in (first, middle, last)] == [
            "ConnectionRefusedError", "closed", "ConnectionRefusedError"]
        assert one.events(last, "boot") == []

        expected = {"silent": "TimeoutError", "refused": "ConnectionResetError", "black-hole": "open"}
        for fault, result in expected.items():
            one.fault(last, fault)
            assert outcome(last) == result, fault
            assert outcome(first) == "open", "its neighbour goes on"
            one.control(do="clear")
            assert one.console(last).power_state() == 8
        assert outcome({"address": "127.16.200.1"}) == "ConnectionResetError", "no PC lives there"

        second = Fleet("--systems", 2, "--wide", ready=False)
        assert second.end() == (1, f"amtsim: process {one.process.pid} already simulates a wide fleet, and there can "
                                   "be only one\n")
        third = Fleet("--systems", 2, ready=False)
        assert third.end()[0] == 1

    with amtsim.fleet("--systems", 2):
        refused = Fleet("--systems", 2, "--wide", ready=False)
        status, errors = refused.end()
        assert status == 1 and "other simulators have to end first" in errors


main()
