"""Work items as people have them: exports, logs and databases of bd, gascity, gt and cloud Gastown, and our own ledger's."""
