# SPDX-License-Identifier: Apache-2.0
"""The benches: one table, a row for each figure."""
