package secretwatch

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// mostOfPlace bounds what is kept of one place, in bytes: a test of a hundred
// thousand answers has nothing new in most of them.
const mostOfPlace = 1 << 20

// spool keeps texts in a file until the secrets of the whole run are known.
type spool struct {
	mu   sync.Mutex
	file *os.File
	w    *bufio.Writer
	size map[string]int
	err  error
}

func newSpool() (*spool, error) {
	f, err := tempFile()
	if err != nil {
		return nil, err
	}
	return &spool{file: f, w: bufio.NewWriterSize(f, 1<<16), size: map[string]int{}}, nil
}

// takes reports whether a text of place would be kept.
func takes(place string) bool {
	s := collected.Load()
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.size[place] <= mostOfPlace
}

func (s *spool) add(place, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.size[place] > mostOfPlace {
		return
	}
	s.size[place] += len(text)
	for _, part := range []string{place, text} {
		_, err := s.w.Write(binary.AppendUvarint(nil, uint64(len(part))))
		if err == nil {
			_, err = s.w.WriteString(part)
		}
		s.err = errors.Join(s.err, err)
	}
}

// each reads all of it, and ends the spool.
func (s *spool) each(f func(place string, text []byte)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer discard(s.file)
	if err := errors.Join(s.err, s.w.Flush()); err != nil {
		return err
	}
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	for r := bufio.NewReaderSize(s.file, 1<<16); ; {
		place, err := readPart(r)
		if errors.Is(err, io.EOF) {
			return nil
		}
		text, err2 := readPart(r)
		if err := errors.Join(err, err2); err != nil {
			return fmt.Errorf("what was handed over cannot be read again: %w", err)
		}
		f(string(place), text)
	}
}

func readPart(r *bufio.Reader) ([]byte, error) {
	n, err := binary.ReadUvarint(r)
	if err != nil {
		return nil, err
	}
	b := make([]byte, n)
	_, err = io.ReadFull(r, b)
	return b, err
}
