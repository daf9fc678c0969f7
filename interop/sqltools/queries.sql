-- name: CreateAuthor :one
INSERT INTO author (name, bio) VALUES (?, ?) RETURNING *;

-- name: CreateBook :execlastid
INSERT INTO book (author, title, cover, price) VALUES (?, ?, ?, ?);

-- name: GetBook :one
SELECT * FROM book WHERE id = ?;

-- name: ListBooks :many
SELECT book.id, book.title, book.price, author.name AS author
FROM book JOIN author ON author.id = book.author
ORDER BY book.title;

-- name: Lend :execrows
UPDATE book SET loans = loans + sqlc.arg (n) WHERE id = sqlc.arg (id);

-- name: RemoveBook :exec
DELETE FROM book WHERE id = ?;

-- name: BooksByID :many
SELECT * FROM book WHERE id IN (sqlc.slice ('ids')) ORDER BY id;
