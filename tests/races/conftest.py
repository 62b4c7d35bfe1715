"""The fault tests' workers and ledger serve here as well."""

from tests.faults.conftest import ledger, moments, start_process, start_worker

__all__ = ["ledger", "moments", "start_process", "start_worker"]
