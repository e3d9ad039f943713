#pragma once

// toml++ for the parsers of this module. Not part of the public interface.
//
// It asserts some things about a text just before it reports them as errors. A hostile file must not end a
// debug build where a release build goes on to the report.
#define TOML_ASSERT(expr) static_assert(true)
#include <toml++/toml.h>
