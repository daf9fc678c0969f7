-- +goose Up
CREATE TABLE author (
  id   INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  bio  TEXT
);

CREATE TABLE book (
  id     INTEGER PRIMARY KEY,
  author INTEGER NOT NULL REFERENCES author (id),
  title  TEXT NOT NULL,
  cover  BLOB,
  price  REAL NOT NULL DEFAULT 0
);

-- +goose Down
DROP TABLE book;
DROP TABLE author;
