package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"
)

func shown(u *User) any {
	return struct {
		User
		Group any `json:"agentUserGroup"`
	}{*u, nil}
}

func shownLegacy(u *User) any {
	return struct {
		User
		UID   any `json:"agent_uid"`
		GID   any `json:"agent_gid"`
		Owner any `json:"agent_user"`
		Group any `json:"agent_group"`
	}{User: *u}
}

type credentials struct {
	Username string `json:"username"`
	Password string `json:"password"`
	IsHashed bool   `json:"isHashed"`
}

func userProblem(err error) error {
	switch {
	case errors.Is(err, errNotFound):
		return problem(missing, "user not found")
	case errors.Is(err, errInactive):
		return problem(denied, "user does not have permission")
	case errors.Is(err, errExists):
		return problem(invalid, "user already exists")
	}
	return err
}

func cookie(token, path string) *http.Cookie {
	return &http.Cookie{Name: "auth", Value: token, Path: path, Expires: time.Now().Add(sessionAge)}
}

func (s *Server) login(r *Request) (any, error) {
	var given credentials
	if err := r.read(&given); err != nil {
		return nil, err
	}
	if given.Username == "" {
		return nil, problem(invalid, "missing argument: username")
	}
	if !given.IsHashed {
		given.Password = clientHash(given.Password)
	}
	user, token, err := s.store.login(given.Username, given.Password)
	if err != nil {
		return nil, userProblem(err)
	}
	http.SetCookie(r.w, cookie(token, "/"))
	return struct {
		Token string `json:"token"`
		User  any    `json:"user"`
	}{token, shown(user)}, nil
}

// legacyLogin is the client's: it sends the password hashed.
func (s *Server) legacyLogin(r *Request) (any, error) {
	var given credentials
	if err := r.read(&given); err != nil {
		return nil, err
	}
	_, token, err := s.store.login(given.Username, given.Password)
	if errors.Is(err, errCredentials) || errors.Is(err, errInactive) {
		return nil, &legacyProblem{http.StatusForbidden, errCredentials.Error()}
	} else if err != nil {
		return nil, err
	}
	if r.query.Get("cookie") == "true" {
		http.SetCookie(r.w, cookie(token, ""))
	}
	return map[string]string{"token": token}, nil
}

func (s *Server) logout(r *Request) (any, error) {
	http.SetCookie(r.w, &http.Cookie{Name: "auth", Expires: time.Unix(0, 0)})
	return struct{}{}, s.store.logout(r.token())
}

func (s *Server) me(r *Request) (any, error) {
	if !r.api {
		return shownLegacy(r.user), nil
	}
	return map[string]any{"user": shown(r.user)}, nil
}

func (s *Server) listUsers(r *Request) (any, error) {
	users, err := s.store.users()
	if err != nil {
		return nil, err
	}
	list := []any{}
	for _, u := range users {
		if r.api {
			list = append(list, shown(u))
		} else {
			list = append(list, shownLegacy(u))
		}
	}
	if !r.api {
		return list, nil
	}
	return map[string]any{"users": list}, nil
}

func (s *Server) getUser(r *Request) (any, error) {
	u, err := s.store.byName(r.values[0])
	if err != nil {
		return nil, userProblem(err)
	}
	return map[string]any{"user": shown(u)}, nil
}

// createUser takes a password and loses it, as 0.15.3 does: the user's password is empty until it is set.
func (s *Server) createUser(r *Request) (any, error) {
	var given struct {
		User struct {
			Username      string
			Admin, Active bool
		}
		Password string
	}
	if err := r.read(&given); err != nil {
		return nil, err
	}
	switch {
	case given.User.Username == "":
		return nil, problem(invalid, "no username specified")
	case !r.user.Admin:
		return nil, problem(denied, "user does not have permission")
	}
	u, err := s.store.create(given.User.Username, given.User.Admin, given.User.Active)
	if err != nil {
		return nil, userProblem(err)
	}
	return map[string]any{"user": shown(u)}, nil
}

func (s *Server) legacyCreateUser(r *Request) (any, error) {
	var given struct {
		Username      string
		Admin, Active bool
	}
	if err := r.read(&given); err != nil {
		return nil, err
	}
	if !r.user.Admin {
		return nil, errUnauthorized
	}
	_, err := s.store.create(given.Username, given.Admin, given.Active)
	return struct{}{}, userProblem(err)
}

// setPassword's body is the password itself, a JSON string; it is read before the token.
func (s *Server) setPassword(r *Request) (any, error) {
	var password string
	if err := r.read(&password); err != nil {
		return nil, err
	}
	if err := s.authenticate(r); err != nil {
		return nil, err
	}
	u, err := s.store.byName(r.values[0])
	if r.user.Username != r.values[0] && !r.user.Admin {
		return nil, problem(denied, "user does not have permission")
	}
	if err == nil {
		err = s.store.setPassword(u.ID, clientHash(password))
	}
	if err != nil {
		return nil, userProblem(err)
	}
	return map[string]any{"user": shown(u)}, nil
}

// patchUser changes password (hashed by the client), active and admin.
func (s *Server) patchUser(r *Request) (any, error) {
	var given struct {
		Password      *string
		Admin, Active *bool
		Group         json.RawMessage `json:"agent_user_group"`
	}
	if err := r.read(&given); err != nil {
		return nil, err
	}
	if !r.user.Admin && (r.user.Username != r.values[0] || given.Admin != nil || given.Active != nil || given.Group != nil) {
		return nil, errUnauthorized
	}
	u, err := s.store.byName(r.values[0])
	if errors.Is(err, errNotFound) {
		return nil, problem(invalid, "failed to get user '%s'", r.values[0])
	}
	if err == nil && given.Password != nil {
		err = s.store.setPassword(u.ID, *given.Password)
	}
	if err == nil && given.Admin != nil {
		err = s.store.set(u.ID, "admin", *given.Admin)
	}
	if err == nil && given.Active != nil {
		err = s.store.set(u.ID, "active", *given.Active)
	}
	return struct{}{}, err
}

func (s *Server) renameUser(r *Request) (any, error) {
	var given struct{ Username string }
	if err := r.read(&given); err != nil {
		return nil, err
	}
	if !r.user.Admin {
		return nil, errUnauthorized
	}
	u, err := s.store.byName(r.values[0])
	if err != nil {
		return nil, userProblem(err)
	}
	return struct{}{}, s.store.set(u.ID, "username", given.Username)
}
