package main

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgconn"
	_ "github.com/jackc/pgx/v4/stdlib"
	"golang.org/x/crypto/bcrypt"
)

const (
	sessionAge = 7 * 24 * time.Hour
	bcryptCost = 15 // 2.4 s of a processor for each login with a password, as the real master takes
	// clientSalt: the client hashes with it before it sends a password, the API does so itself.
	clientSalt = "GubPEmmotfiK9TMD6Zdw"
	// A second master that starts at the same moment waits for the first one's tables.
	tablesLock = 1503
)

// migrations can run again on tables that are there.
var migrations = []string{
	"create table if not exists users (id serial primary key, username text not null unique, password_hash text, " +
		"admin boolean not null, active boolean not null)",
	"create table if not exists user_sessions (id serial primary key, user_id integer not null references users (id), " +
		"token_hash text not null unique, expiry timestamptz not null)",
	"create table if not exists cluster_id (cluster_id text not null)",
	"insert into users (username, admin, active) select * from (values ('admin', true, true), ('determined', false, true)) as first " +
		"where not exists (select 1 from users)",
}

var (
	errNotFound    = errors.New("not found")
	errCredentials = errors.New("invalid credentials")
	errInactive    = errors.New("user is not active")
	errExists      = errors.New("user already exists")
)

// User is a row of users; the hash stays in the database.
type User struct {
	ID       int    `json:"id"`
	Username string `json:"username"`
	Admin    bool   `json:"admin"`
	Active   bool   `json:"active"`
}

// Store is the master's part of PostgreSQL.
type Store struct{ db *sql.DB }

// url has the password as it is, as the real master's: one that a URL takes for something else opens nothing.
func (db DB) url() string {
	return fmt.Sprintf("postgres://%s:%s@%s:%s/%s?application_name=determined-master&sslmode=%s&sslrootcert=%s&connect_timeout=5",
		db.User, db.Password, db.Host, db.Port, db.Name, db.SSLMode, db.SSLRoot)
}

func openStore(db DB) (*Store, error) {
	opened, err := sql.Open("pgx", db.url())
	if err != nil {
		return nil, err
	}
	store := &Store{opened}
	store.db.SetMaxIdleConns(1) // after the database was gone one answer is 500, as with the real master
	for try := 1; ; try++ {
		if err = store.db.Ping(); err == nil {
			break
		}
		if try == tries {
			return nil, err
		}
		master.Line("WARN", fmt.Sprintf("failed to connect to postgres, trying again in 4s  error=%q", err.Error()))
		time.Sleep(pause)
	}
	master.Line("INFO", "running migrations")
	return store, store.migrate()
}

func (s *Store) migrate() error {
	tx, err := s.db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for _, statement := range append([]string{fmt.Sprintf("select pg_advisory_xact_lock(%d)", tablesLock)}, migrations...) {
		if _, err := tx.Exec(statement); err != nil {
			return err
		}
	}
	if _, err := tx.Exec("insert into cluster_id select $1 where not exists (select 1 from cluster_id)", uuid.NewString()); err != nil {
		return err
	}
	return tx.Commit()
}

func (s *Store) clusterID() (id string, err error) {
	err = s.db.QueryRow("select cluster_id from cluster_id").Scan(&id)
	return
}

const userColumns = "select users.id, username, admin, active from users "

func (s *Store) user(where string, value any) (*User, error) {
	u := &User{}
	err := s.db.QueryRow(userColumns+where, value).Scan(&u.ID, &u.Username, &u.Admin, &u.Active)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errNotFound
	}
	return u, err
}

func (s *Store) byName(name string) (*User, error) { return s.user("where username = $1", name) }

func (s *Store) users() ([]*User, error) {
	rows, err := s.db.Query(userColumns + "order by users.id")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := []*User{}
	for rows.Next() {
		u := &User{}
		if err := rows.Scan(&u.ID, &u.Username, &u.Admin, &u.Active); err != nil {
			return nil, err
		}
		found = append(found, u)
	}
	return found, rows.Err()
}

func clientHash(password string) string {
	if password == "" {
		return ""
	}
	sum := sha512.Sum512([]byte(clientSalt + password))
	return hex.EncodeToString(sum[:])
}

// first72: bcrypt looks at no more, and Go's refuses more.
func first72(text string) []byte { return []byte(text[:min(72, len(text))]) }

// login checks a password that the client has hashed, and opens a session.
func (s *Store) login(name, hashed string) (*User, string, error) {
	var stored sql.NullString
	u, err := s.byName(name)
	if err == nil {
		err = s.db.QueryRow("select password_hash from users where id = $1", u.ID).Scan(&stored)
	}
	switch {
	case errors.Is(err, errNotFound):
		return nil, "", errCredentials
	case err != nil:
		return nil, "", err
	case (stored.String == "") != (hashed == ""): // the real one makes no hash to tell these apart either
		return nil, "", errCredentials
	case hashed != "" && bcrypt.CompareHashAndPassword([]byte(stored.String), first72(hashed)) != nil:
		return nil, "", errCredentials
	case !u.Active:
		return nil, "", errInactive
	}
	random := make([]byte, 48)
	rand.Read(random)
	token := "v2.public." + base64.RawURLEncoding.EncodeToString(random)
	_, err = s.db.Exec("insert into user_sessions (user_id, token_hash, expiry) values ($1, $2, $3)", u.ID, tokenHash(token), time.Now().Add(sessionAge))
	return u, token, err
}

func tokenHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// session gives the active user of a token.
func (s *Store) session(token string) (*User, error) {
	u, err := s.user("join user_sessions on user_id = users.id where token_hash = $1 and expiry > now() and active", tokenHash(token))
	if errors.Is(err, errNotFound) {
		return nil, errCredentials
	}
	return u, err
}

func (s *Store) logout(token string) error {
	_, err := s.db.Exec("delete from user_sessions where token_hash = $1", tokenHash(token))
	return err
}

func (s *Store) create(name string, admin, active bool) (*User, error) {
	_, err := s.db.Exec("insert into users (username, admin, active) values ($1, $2, $3)", name, admin, active)
	var known *pgconn.PgError
	if errors.As(err, &known) && known.Code == "23505" {
		return nil, errExists
	} else if err != nil {
		return nil, err
	}
	return s.byName(name)
}

// setPassword takes what the client hashed; empty means: no password.
func (s *Store) setPassword(id int, hashed string) error {
	var stored sql.NullString
	if hashed != "" {
		made, err := bcrypt.GenerateFromPassword(first72(hashed), bcryptCost)
		if err != nil {
			return err
		}
		stored = sql.NullString{String: string(made), Valid: true}
	}
	_, err := s.db.Exec("update users set password_hash = $1 where id = $2", stored, id)
	return err
}

// set changes one of the columns username, admin, active.
func (s *Store) set(id int, column string, value any) error {
	_, err := s.db.Exec("update users set "+column+" = $1 where id = $2", value, id)
	return err
}
