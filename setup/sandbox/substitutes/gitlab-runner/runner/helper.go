package main

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// words are a helper's flags: all values of each.
type words map[string][]string

func readWords(arguments []string) (words, error) {
	found := words{}
	for i := 0; i < len(arguments); i++ {
		name := strings.TrimPrefix(arguments[i], "--")
		if name == "untracked" {
			found[name] = []string{"true"}
			continue
		}
		if i++; i == len(arguments) {
			return nil, fmt.Errorf("flag needs an argument: -%s", name)
		}
		found[name] = append(found[name], arguments[i])
	}
	return found, nil
}

func (w words) one(name string) string {
	if len(w[name]) == 0 {
		return ""
	}
	return w[name][0]
}

// server is GitLab as the job meets it: what it must trust lies in a file.
func (w words) server() (*Server, error) {
	return open(w.one("url"), os.Getenv("CI_SERVER_TLS_CA_FILE"))
}

// --- leaving ---

func uploadArtifacts(arguments []string) error {
	w, err := readWords(arguments)
	if err != nil {
		return err
	}
	files := w.files()
	if len(files) == 0 {
		line("ERROR", "No files to upload")
		return nil
	}
	packed, err := pack(files)
	if err != nil {
		return err
	}
	server, err := w.server()
	if err != nil {
		return err
	}
	return w.upload(server, packed)
}

// files are the folders and files that are meant, in the order of their names.
func (w words) files() []string {
	found := map[string]bool{}
	for _, path := range w["path"] {
		matched := matching(path)
		if len(matched) == 0 {
			line("WARNING", path+": no matching files")
		} else {
			fmt.Fprintf(os.Stderr, "%s: found %d matching files and directories\n", path, len(matched))
		}
		for _, one := range matched {
			found[one] = true
		}
	}
	if w.one("untracked") != "" {
		listed, _ := exec.Command("git", "ls-files", "-o", "-z").Output()
		names := slices.DeleteFunc(strings.Split(string(listed), "\x00"), func(name string) bool { return name == "" })
		fmt.Fprintf(os.Stderr, "untracked: found %d files\n", len(names))
		for _, one := range names {
			found[one] = true
		}
	}
	kept := []string{}
	for one := range found {
		if !slices.ContainsFunc(w["exclude"], func(pattern string) bool { return glob(pattern).MatchString(one) }) {
			kept = append(kept, one)
		}
	}
	slices.Sort(kept)
	return kept
}

// glob: * within a name, ** across folders.
func glob(pattern string) *regexp.Regexp {
	text := regexp.QuoteMeta(strings.TrimSuffix(filepath.ToSlash(pattern), "/"))
	for _, pair := range [][2]string{{`\*\*/`, "(.*/)?"}, {`\*\*`, ".*"}, {`\*`, "[^/]*"}, {`\?`, "[^/]"}} {
		text = strings.ReplaceAll(text, pair[0], pair[1])
	}
	return regexp.MustCompile("^" + text + "$")
}

// matching are the paths below here that a pattern names, with all that is in them. What is outside is left out.
func matching(pattern string) []string {
	here, _ := os.Getwd()
	if filepath.IsAbs(pattern) {
		pattern, _ = filepath.Rel(here, pattern)
	}
	pattern = filepath.Clean(pattern)
	wanted, found := glob(pattern), []string{}
	filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == "." && pattern != "." {
			return nil
		}
		if pattern == "." || slices.ContainsFunc(above(path), wanted.MatchString) {
			found = append(found, path)
		}
		return nil
	})
	return found
}

// above is a path, and the folders that it lies in.
func above(path string) []string {
	found := []string{path}
	for path = filepath.Dir(path); path != "."; path = filepath.Dir(path) {
		found = append(found, path)
	}
	return found
}

func pack(files []string) ([]byte, error) {
	var packed bytes.Buffer
	archive := zip.NewWriter(&packed)
	for _, path := range files {
		if err := add(archive, path); err != nil {
			return nil, err
		}
	}
	err := archive.Close() // the list of what is in it
	return packed.Bytes(), err
}

func add(archive *zip.Writer, path string) error {
	about, err := os.Lstat(path)
	if err != nil {
		return err
	}
	header, err := zip.FileInfoHeader(about)
	if err != nil {
		return err
	}
	header.Name, header.Method = filepath.ToSlash(path), zip.Deflate
	if about.IsDir() {
		header.Name, header.Method = header.Name+"/", zip.Store
	}
	into, err := archive.CreateHeader(header)
	if err != nil || about.IsDir() {
		return err
	}
	if about.Mode()&fs.ModeSymlink != 0 {
		target, err := os.Readlink(path)
		io.WriteString(into, target)
		return err
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.Copy(into, file)
	return err
}

// upload: an answer that may become better is asked for again, 1 s later, and twice as long each time.
func (w words) upload(server *Server, packed []byte) error {
	query := url.Values{}
	for flag, name := range map[string]string{"artifact-format": "artifact_format", "artifact-type": "artifact_type", "expire-in": "expire_in"} {
		if value := w.one(flag); value != "" {
			query.Set(name, value)
		}
	}
	kind := cmpOr(w.one("artifact-type"), "archive")
	what := fmt.Sprintf("Uploading artifacts as %q to coordinator...", kind)
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, _ := form.CreateFormFile("file", cmpOr(w.one("name"), "artifacts")+".zip")
	part.Write(packed)
	form.Close()
	headers := map[string]string{"Content-Type": form.FormDataContentType(), "JOB-TOKEN": w.one("token"), "Accept": "application/json"}
	path := fmt.Sprintf("jobs/%s/artifacts?%s", w.one("id"), query.Encode())
	wait := time.Second
	for try := 1; ; try++ {
		said := server.send(context.Background(), http.MethodPost, path, body.Bytes(), headers)
		about := []any{"id", w.one("id"), "responseStatus", said.text, "token", short(w.one("token"))}
		switch {
		case said.status == http.StatusCreated:
			line("", what+" ok", about...)
			return nil
		case said.status == http.StatusForbidden:
			line("WARNING", what+" forbidden", about...)
			return errors.New("permission denied")
		case said.status == http.StatusRequestEntityTooLarge:
			line("ERROR", what+" too large archive", about...)
			return errors.New("too large")
		case try >= 3 && said.status != http.StatusServiceUnavailable, try >= 6:
			line("WARNING", what+" "+said.text, about...)
			return errors.New("invalid argument")
		}
		line("WARNING", "Retrying...", "error", said.text)
		time.Sleep(wait)
		wait = min(2*wait, 5*time.Second)
	}
}

// --- getting ---

func downloadArtifacts(arguments []string) error {
	w, err := readWords(arguments)
	if err != nil {
		return err
	}
	server, err := w.server()
	if err != nil {
		return err
	}
	const what = "Downloading artifacts from coordinator..."
	path := fmt.Sprintf("jobs/%s/artifacts", w.one("id"))
	query := "?direct_download=true"
	for try := 1; ; try++ {
		said := server.send(context.Background(), http.MethodGet, path+query, nil, map[string]string{"JOB-TOKEN": w.one("token")})
		about := []any{"id", w.one("id"), "responseStatus", said.text, "token", short(w.one("token"))}
		switch {
		case said.status == http.StatusOK:
			line("", what+" ok", about...)
			return unpack(said.body)
		case said.status == http.StatusForbidden, said.status == http.StatusNotFound:
			line("ERROR", what+" "+map[int]string{403: "forbidden", 404: "not found"}[said.status], about...)
			return errors.New(map[int]string{403: "permission denied", 404: "file does not exist"}[said.status])
		case try == 3:
			return errors.New("invalid argument")
		}
		line("WARNING", "Retrying...", "error", said.text)
		query = ""
		time.Sleep(time.Second)
	}
}

func unpack(packed []byte) error {
	archive, err := zip.NewReader(bytes.NewReader(packed), int64(len(packed)))
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(".")
	if err != nil {
		return err
	}
	for _, file := range archive.File {
		if err := place(root, file); err != nil {
			return err
		}
	}
	return nil
}

// place puts a file where it was; never outside this folder.
func place(root *os.Root, file *zip.File) error {
	name := strings.TrimSuffix(file.Name, "/")
	if file.FileInfo().IsDir() {
		return root.MkdirAll(name, 0o777)
	}
	if err := root.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		return err
	}
	from, err := file.Open()
	if err != nil {
		return err
	}
	defer from.Close()
	root.Remove(name)
	if file.Mode()&fs.ModeSymlink != 0 {
		target, err := io.ReadAll(from)
		return errors.Join(err, root.Symlink(string(target), name))
	}
	into, err := root.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, file.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(into, from)
	return errors.Join(err, into.Close())
}
