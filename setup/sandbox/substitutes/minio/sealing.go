package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/secure-io/sio-go"
)

// store is what MinIO keeps below .minio.sys/config: sealed by the root pair, in clear where nobody gave one
// (cmd/config-encrypted.go and cmd/iam-object-store.go of the release).
type store struct {
	folder string // .minio.sys
	pair   string // USER:PASSWORD; empty: in clear
}

const (
	marker, incomplete, complete = "backend-encrypted", "incomplete", "encrypted"
	migrating                    = "Unable to initialize sub-systems: Unable to migrate all config at .minio.sys/config/: "
)

var errWrongFormer = errors.New("Invalid rotating credentials")

// begin seals what is in clear, or by the former pair, and reports whether users can be read then.
func (s store) begin(former string) bool {
	sealed, _ := os.ReadFile(filepath.Join(s.folder, marker))
	if s.pair == "" {
		if string(sealed) == complete {
			fatal("Unable to initialize the server: Unable to initialize sub-systems: Credentials missing")
		}
		return s.readable()
	}
	if string(sealed) == complete && (former == "" || former == s.pair) {
		return s.readable()
	}
	err := s.reseal(former, string(sealed) == complete)
	if errors.Is(err, errWrongFormer) {
		fatal("Unable to initialize the server: " + migrating + err.Error())
	}
	if err != nil {
		fmt.Printf("Server startup failed with '%s%v'\n", migrating, err)
		fmt.Println("Not all features may be available on this server")
		fmt.Println("Please use 'mc admin' commands to further investigate this issue")
		return s.formatReadable()
	}
	return s.readable()
}

func (s store) reseal(former string, again bool) error {
	if again {
		fmt.Println("Attempting rotation of encrypted config, IAM users and policies on MinIO with newly supplied credentials")
	} else {
		fmt.Println("Attempting encryption of all config, IAM users and policies on MinIO backend")
	}
	if err := write(filepath.Join(s.folder, marker), []byte(incomplete)); err != nil {
		return err
	}
	err := filepath.WalkDir(filepath.Join(s.folder, "config"), func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || entry.IsDir() || strings.HasSuffix(path, ".part") {
			return err
		}
		return s.resealFile(path, former)
	})
	if err != nil {
		return err
	}
	if again {
		fmt.Println("Rotation complete, please make sure to unset MINIO_ROOT_USER_OLD and MINIO_ROOT_PASSWORD_OLD envs")
	}
	return write(filepath.Join(s.folder, marker), []byte(complete))
}

func (s store) resealFile(path, former string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if former != "" {
		plain, err := opened(former, content)
		if errors.Is(err, sio.NotAuthentic) {
			plain, err = opened(s.pair, content)
		}
		if errors.Is(err, sio.NotAuthentic) {
			return errWrongFormer
		}
		if err != nil {
			return errors.New("madmin: invalid AEAD algorithm ID")
		}
		return s.save(path, plain)
	}
	if !utf8.Valid(content) {
		if _, err := opened(s.pair, content); err != nil {
			return fmt.Errorf("Decrypting config failed %w, possibly credentials are incorrect", notAuthentic(err))
		}
		return nil
	}
	return s.save(path, content)
}

// notAuthentic is the error in the words of the release's version of the library.
func notAuthentic(err error) error {
	if errors.Is(err, sio.NotAuthentic) {
		return errors.New("sio: data is not authentic")
	}
	return err
}

func (s store) save(path string, content []byte) error {
	if s.pair != "" {
		var err error
		if content, err = sealed(s.pair, content); err != nil {
			return err
		}
	}
	return write(path, content)
}

func (s store) read(path string) ([]byte, error) {
	content, err := os.ReadFile(path)
	if err == nil && s.pair != "" && !utf8.Valid(content) {
		content, err = opened(s.pair, content)
	}
	return bytes.TrimSpace(content), notAuthentic(err)
}

// readable makes the two files that MinIO always has, and reports whether this pair reads the users' one.
func (s store) readable() bool {
	if _, err := s.kept("config.json", "{}"); err != nil {
		fmt.Println("Error: Unable to initialize config, some features may be missing Invalid credentials (*fmt.wrapError)")
	}
	return s.formatReadable()
}

func (s store) formatReadable() bool {
	_, err := s.kept("iam/format.json", `{"version":1}`)
	if err != nil {
		fmt.Printf("Error: Unable to migrate IAM users and policies to new format: %v (*fmt.wrapError)\n", err)
		fmt.Println("Error: IAM sub-system is partially initialized, some users may not be available (*errors.errorString)")
	}
	return err == nil
}

func (s store) kept(name, content string) ([]byte, error) {
	path := filepath.Join(s.folder, "config", name)
	if !exists(path) {
		return nil, s.save(path, []byte(content))
	}
	return s.read(path)
}
