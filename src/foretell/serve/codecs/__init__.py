"""One file per protocol: bytes to work for the engine, and answers back to bytes. No sockets here."""
