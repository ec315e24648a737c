package keyadmin

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// strictJSON refuses a name twice, one in another letter case, an unknown one,
// invalid UTF-8 and anything after the value. Its errors repeat nothing of the
// input, save for names that are plain words.
var strictJSON = huma.Format{
	Marshal: func(w io.Writer, v any) error {
		b, err := json.Marshal(v, json.Deterministic(true))
		if err != nil {
			return err
		}
		_, _ = w.Write(b) // if not, the client is gone
		return nil
	},
	Unmarshal: func(data []byte, v any) error {
		return explain(json.Unmarshal(data, v, json.RejectUnknownMembers(true), json.WithUnmarshalers(anyNumber)))
	},
}

// anyNumber reads a number that no float64 holds as the greatest there is, so
// that the schema refuses it with its bound.
var anyNumber = json.UnmarshalFromFunc(func(d *jsontext.Decoder, v *any) error {
	if d.PeekKind() != '0' {
		return errors.ErrUnsupported // as it is by default
	}
	t, err := d.ReadToken()
	if err != nil {
		return err
	}
	f, err := t.Float()
	if err != nil {
		f = math.Copysign(math.MaxFloat64, f)
	}
	*v = f
	return nil
})

// explain says what is wrong as "body.name: must…", which faultOf takes apart.
func explain(err error) error {
	var syntax *jsontext.SyntacticError
	var semantic *json.SemanticError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jsontext.ErrDuplicateName):
		return errors.New("body: must not have a name twice")
	case errors.As(err, &syntax):
		return fmt.Errorf("body: must be JSON in UTF-8; it is not at byte %d", syntax.ByteOffset)
	case errors.Is(err, json.ErrUnknownName):
		return errors.New("body: must not have a field that is unknown, or in another letter case")
	case errors.As(err, &semantic):
		return errors.New(pointed(semantic.JSONPointer) + ": must be of the kind and form that openapi.json says")
	}
	return errors.New("body: must be JSON")
}

// pointed is a JSON pointer as a location.
func pointed(p jsontext.Pointer) string {
	at := "body"
	for token := range p.Tokens() {
		if token != "" && strings.Trim(token, "0123456789") == "" {
			at += "[" + token + "]"
			continue
		}
		at += "." + token
	}
	return known(at)
}
