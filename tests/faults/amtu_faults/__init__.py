# SPDX-License-Identifier: Apache-2.0
"""Breaks everything at every step, and judges what became of it.

history.py reads what others wrote down (the simulated PCs, the audit record, Redis, the workers' logs); rules.py
decides the promises from that alone; lane.py and the campaigns do the breaking and take no part in the judgement.
"""
