# SPDX-License-Identifier: Apache-2.0
"""What every command that reports to people shares: one page, one table, one plot style, one sheet, one journal."""
