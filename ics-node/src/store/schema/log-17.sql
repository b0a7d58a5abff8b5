-- Until when, in milliseconds, the holder of a certificate may still confirm it (CMP). Whatever is here afterwards is
-- revoked; 0 stands for what is being revoked.
CREATE TABLE unconfirmed (
    domain INTEGER NOT NULL,
    serial BLOB NOT NULL,
    until INTEGER NOT NULL,
    PRIMARY KEY (domain, serial)
) STRICT, WITHOUT ROWID;
