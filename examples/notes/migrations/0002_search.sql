-- Every note can be found by its words.
CREATE VIRTUAL TABLE search USING fts5(title, body, content = 'note', content_rowid = 'id');

CREATE TRIGGER note_added AFTER INSERT ON note BEGIN
	INSERT INTO search(rowid, title, body) VALUES (new.id, new.title, new.body);
END;

CREATE TRIGGER note_removed AFTER DELETE ON note BEGIN
	INSERT INTO search(search, rowid, title, body) VALUES ('delete', old.id, old.title, old.body);
END;

INSERT INTO search(search) VALUES ('rebuild');
