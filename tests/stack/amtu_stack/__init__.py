# SPDX-License-Identifier: Apache-2.0
"""A whole test stack on loopback: KDC, Redis, httpd with the module, workers and a simulated fleet.

The command tests/stack/stack, the tests and the demo all go through stack.Stack; every part has a module of its
own that knows how to configure it, start it and tell whether it answers.
"""
