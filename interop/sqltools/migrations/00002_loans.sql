-- +goose Up
ALTER TABLE book ADD COLUMN loans INTEGER NOT NULL DEFAULT 0;

-- +goose StatementBegin
CREATE TRIGGER book_removed BEFORE DELETE ON book WHEN old.loans > 0
BEGIN
  SELECT RAISE (ABORT, 'the book is on loan');
END;
-- +goose StatementEnd

-- +goose Down
DROP TRIGGER book_removed;
ALTER TABLE book DROP COLUMN loans;
