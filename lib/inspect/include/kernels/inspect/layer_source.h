#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/error.h"

// What the layer source of a kernel, `layers.py` or `layers/__init__.py`, says about its layers.
//
// The text is read, never executed. Python can compute anything, so every claim has three values: yes, no,
// and "the text does not tell". A claim is made only where running the text could not contradict it by the
// means that Python programs use: bindings, conditions, imports, decorators, metaclasses, base classes and
// assignments to attributes are followed or lead to "does not tell". Tricks with the interpreter's own state
// (frames, `gc`, byte code) are not seen.

namespace kernels::inspect {

/// As in Python's `inspect.Parameter`.
enum class ParameterKind {
  positional_only,
  positional_or_keyword,
  var_positional,
  keyword_only,
  var_keyword,
};

struct LayerParameter {
  std::string name;
  ParameterKind kind = ParameterKind::positional_or_keyword;
  bool has_default = false;
  auto operator<=>(const LayerParameter&) const = default;
};

/// As Python writes them in a signature: `x`, `*args`, `**kwargs`.
std::vector<std::string> names_of(const std::vector<LayerParameter>& parameters);

/// An attribute of a class body that may be assigned `True` or `False`.
enum class LayerFlag {
  absent,   ///< the body does not bind the name
  no,       ///< its last binding is a plain `= False`
  yes,      ///< its last binding is a plain `= True`
  unknown,  ///< bound in another way, or under a condition
};

/// What the body of a class binds as `forward`.
enum class ForwardText {
  absent,
  known,    ///< a plain `def`, without decorators, whose parameters were read
  unknown,  ///< anything else: decorated, assigned, under a condition
};

/// One class statement at the top level, inside `if`, `try`, `with`, `for`, `while` and `match` blocks too.
struct LayerClass {
  std::string name;
  std::vector<std::string> bases;  ///< expressions in the order of the text, comments left out
  bool certain = true;             ///< no decorator, metaclass or later assignment changes what the body says
  LayerFlag has_backward = LayerFlag::absent;
  LayerFlag can_torch_compile = LayerFlag::absent;
  bool defines_init = false;
  std::vector<std::string> members;  ///< other names that the body binds, in order, each once
  ForwardText forward = ForwardText::absent;
  std::vector<LayerParameter> parameters;  ///< of a known `forward`, with `self`
};

/// The text as a whole. The same name can be in several of these: bound in more than one place.
struct LayerSource {
  std::vector<LayerClass> classes;  ///< in the order of the text; a name can stand more than once
  /// Imported names and what they stand for: `nn` → `torch.nn`. Relative imports keep their dots. Empty where
  /// two imports of one name disagree.
  std::map<std::string, std::string> imported;
  std::set<std::string> assigned;     ///< bound in any other way: assignments, functions, loops, `global`
  std::set<std::string> set_to_none;  ///< assigned a plain `None`, as after a failed import
  /// May bind names that the text does not spell: `import *`, `__getattr__`, `globals()`, `setattr`.
  bool open = false;
};

/// Reads a layer source.
///
/// Errors   corrupt, with the line: not Python as far as it is looked at, not UTF-8. unsupported, with the
///          line: over a limit (1 MiB of text, nesting of 100, 10,000 classes) or in another encoding.
/// Threads  free function, no state. Cost: O(text), about 16 times its size in memory while reading.
/// Source   Python reference, 2 "Lexical analysis", 7 and 8 "Simple/Compound statements", up to 3.14.
Result<LayerSource> read_layer_source(std::string_view python);

enum class LayerPresence {
  defined,    ///< a class of this name is in the text
  elsewhere,  ///< the name is imported, assigned or may be made at run time: the text does not tell
  absent,     ///< nothing in the text gives this name
};

/// What a text says about one layer, with base classes of the same text taken into account.
struct LayerDescription {
  LayerPresence presence = LayerPresence::absent;
  std::optional<bool> has_backward;       ///< Python's default is true; nothing: the text does not tell
  std::optional<bool> can_torch_compile;  ///< Python's default is false; nothing: the text does not tell
  std::optional<std::vector<LayerParameter>> forward;
  bool defines_init = false;               ///< an `__init__` of its own stands in the text
  std::vector<std::string> extra_members;  ///< the first 20 names that it binds and `torch.nn.Module` lacks
};
LayerDescription describe_layer(const LayerSource& source, std::string_view name);

/// The names of the text's classes without a leading underscore, in order, each once.
std::vector<std::string> layer_names(const LayerSource& source);

}  // namespace kernels::inspect
