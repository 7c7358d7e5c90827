// Package flight makes calls beside the goroutine of a request. Many callers wait
// for one call, and a panic in it comes back to them as an error: what runs for one
// request must not end the process, which serves eighty.
package flight

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"

	"golang.org/x/sync/singleflight"
)

// A Panic is a recovered one, as an error. Its text names the type of the value
// only, unless the runtime made it: any other value could hold a secret.
type Panic struct {
	text  string
	stack []byte
}

// NewPanic makes an error of what recover returned. It is to be called by the
// deferred function, so that the stack shows where the panic began.
func NewPanic(value any) *Panic {
	text := fmt.Sprintf("panic with a %T", value)
	if err, ok := value.(runtime.Error); ok {
		text = "panic: " + err.Error()
	}
	return &Panic{text, debug.Stack()}
}

func (p *Panic) Error() string { return p.text }

// Stack is that of the goroutine at the time of the panic.
func (p *Panic) Stack() string { return string(p.stack) }

// Catch returns the error of f, or the panic that it ended in as a [*Panic].
func Catch(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = NewPanic(v)
		}
	}()
	return f()
}

// Warn logs a failure that no caller is told of, since there was a way around it. A
// panic is an error, and says where it began.
func Warn(log *slog.Logger, message string, err error, attrs ...any) {
	attrs = append(attrs, slog.String("error", err.Error()))
	if p, ok := errors.AsType[*Panic](err); ok {
		log.Error(message, append(attrs, slog.String("stack", p.Stack()))...)
		return
	}
	log.Warn(message, attrs...)
}

// A Group makes calls that several callers want at the same time once. Its zero
// value is ready. It is safe for concurrent use.
type Group[T any] struct{ calls singleflight.Group }

// Do returns what call returns for everybody who asks for the key meanwhile. A
// caller waits as long as its ctx lasts and then gets ctx's error; the call goes
// on, with the values of the ctx that began it and without its end.
func (g *Group[T]) Do(ctx context.Context, key string, call func(context.Context) (T, error)) (T, error) {
	done := g.calls.DoChan(key, func() (any, error) {
		var v T
		err := Catch(func() (err error) {
			v, err = call(context.WithoutCancel(ctx))
			return err
		})
		return v, err
	})
	var none T
	select {
	case res := <-done:
		if res.Err != nil {
			return none, res.Err
		}
		return res.Val.(T), nil
	case <-ctx.Done():
		return none, ctx.Err()
	}
}
