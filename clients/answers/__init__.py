"""Results: replies checked against the contract and decoded into classes and maps. Uses neither files nor servers."""
