CREATE TABLE IF NOT EXISTS products (
    code   TEXT PRIMARY KEY,
    name   TEXT NOT NULL,
    price  INTEGER NOT NULL CHECK (price > 0),   -- cents
    stock  INTEGER NOT NULL CHECK (stock >= 0)   -- pieces
);

CREATE TABLE IF NOT EXISTS orders (
    number    TEXT PRIMARY KEY,
    customer  TEXT NOT NULL,
    product   TEXT NOT NULL REFERENCES products (code),
    quantity  INTEGER NOT NULL CHECK (quantity > 0),
    total     INTEGER NOT NULL,                  -- cents
    placed    TEXT NOT NULL                      -- ISO 8601
);

CREATE TABLE IF NOT EXISTS mails (
    id         INTEGER PRIMARY KEY,
    number     TEXT NOT NULL UNIQUE REFERENCES orders (number),
    recipient  TEXT NOT NULL,
    subject    TEXT NOT NULL,
    body       TEXT NOT NULL,
    sent       INTEGER NOT NULL DEFAULT 0        -- 1: the mailer has taken it
);

-- What is on the shelves before the first order. Kept as it is in a database that has it.
INSERT OR IGNORE INTO products (code, name, price, stock) VALUES
    ('BOOK-A5', 'notebook, A5',           650, 400),
    ('INK-BLK', 'ink, black',             890, 220),
    ('INK-BLU', 'ink, blue',              890, 220),
    ('LAMP-01', 'reading lamp',          4900,  40),
    ('PEN-F',   'fountain pen, fine',    3250, 120),
    ('PEN-M',   'fountain pen, medium',  3250, 120),
    ('RULER',   'ruler, brass',          1420,  90),
    ('STAMP',   'date stamp',            1890,  25);
