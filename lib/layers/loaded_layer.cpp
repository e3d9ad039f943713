#include <map>
#include <mutex>
#include <system_error>
#include <tuple>

#include "kernels/base/file.h"
#include "kernels/base/joined.h"
#include "kernels/base/nearest.h"
#include "kernels/layers/kernelize.h"

#include "loaded_layer_impl.h"

namespace kernels::layers {

namespace fs = std::filesystem;

namespace {

/// Everything that is loaded, for the life of the process.
struct Loaded {
  std::mutex mutex;
  std::shared_ptr<KernelSource> source;
  std::map<std::pair<Repository, DeviceType>, std::shared_ptr<const LoadedLayer>> layers;
  std::map<fs::path, runtime::KernelLibrary> libraries;
};

Loaded& loaded() {
  static Loaded all;
  return all;
}

Result<NativeLayer> declaration_of(const LocatedKernel& place, const Repository& repository) {
  const auto& name = name_in(repository);
  auto file = place.folder / "layers.toml";
  auto text = read_file(file, 1 << 20);
  if (!text && text.error().code() == Errc::not_found)
    return fail(
        Error(Errc::not_found, "the variant `" + place.variant + "` declares no layers for C++")
            .with_hint("kernels that only Python can load have no `layers.toml`; choose one with a tvm-ffi "
                       "variant that declares its layers"));
  if (!text) return fail(std::move(text).error());
  auto declared = parse_native_layers(*text, "`" + file.string() + "`");
  if (!declared) return fail(std::move(declared).error());
  const auto* layer = is_function(repository) ? declared->find_function(name) : declared->find(name);
  if (layer != nullptr) return *layer;
  auto names = declared->names();
  auto guess = nearest(name, names);
  return fail(Error(Errc::not_found, std::string("there is no ") +
                                         (is_function(repository) ? "function `" : "layer `") + name +
                                         "`; there are: " + joined(names))
                  .with_hint(guess ? "did you mean `" + *guess + "`?" : "name one of these layers"));
}

Result<runtime::KernelLibrary> open_library(Loaded& all, const LocatedKernel& place) {
  auto path = runtime::find_library(place.folder);
  if (!path) return fail(std::move(path).error());
  auto found = all.libraries.find(*path);
  if (found != all.libraries.end()) return found->second;
  auto library = runtime::KernelLibrary::open(*path, place.provider);
  if (!library) return library;
  all.libraries.emplace(*path, *library);
  return library;
}

/// Functions that state their signature have to agree with the declaration; those that do not are believed.
Status check_arity(const runtime::KernelLibrary& library, const NativeLayer& layer) {
  auto stated = library.signature(layer.function);
  if (!stated || stated->arguments.size() == layer.arguments.size()) return {};
  return fail(Errc::corrupt,
              "the function `" + layer.function + "` takes " + std::to_string(stated->arguments.size()) +
                  " arguments, but `layers.toml` gives it " + std::to_string(layer.arguments.size()));
}

Result<std::shared_ptr<const LoadedLayer>> load_now(Loaded& all, const Repository& repository,
                                                    DeviceType device) {
  if (!all.source)
    return fail(
        Error(Errc::unsupported, "there is no source of kernels")
            .with_hint("call `set_kernel_source(ops::hub_kernel_source(…))` at the start of the program"));
  auto place = all.source->locate(repository, device);
  if (!place) return fail(std::move(place).error());
  auto declaration = declaration_of(*place, repository);
  if (!declaration) return fail(std::move(declaration).error());
  auto library = open_library(all, *place);
  if (!library) return fail(std::move(library).error());
  auto function = library->function(declaration->function);
  if (!function) return fail(std::move(function).error());
  if (auto right = check_arity(*library, *declaration); !right) return fail(std::move(right).error());
  auto signature = signature_of(*declaration);
  auto title =
      to_string(repository) + (place->revision.empty() ? "" : " at " + place->revision.substr(0, 12));
  return std::make_shared<const LoadedLayer>(LoadedLayer{.declaration = std::move(*declaration),
                                                         .signature = std::move(signature),
                                                         .function = *function,
                                                         .place = std::move(*place),
                                                         .device = device,
                                                         .title = std::move(title)});
}

}  // namespace

void set_kernel_source(std::shared_ptr<KernelSource> source) {
  std::scoped_lock lock(loaded().mutex);
  loaded().source = std::move(source);
}

std::optional<std::uint32_t> source_capability(DeviceType device) {
  std::scoped_lock lock(loaded().mutex);
  return loaded().source ? loaded().source->capability(device) : std::nullopt;
}

Result<std::shared_ptr<const LoadedLayer>> load_layer(const Repository& repository, DeviceType device) {
  auto& all = loaded();
  std::scoped_lock lock(all.mutex);
  auto found = all.layers.find({repository, device});
  if (found != all.layers.end()) return found->second;
  auto layer = load_now(all, repository, device);
  if (!layer)
    return fail(std::move(layer).error().while_doing("loading " + to_string(repository) + " for `" +
                                                     to_string(device) + "`"));
  all.layers.emplace(std::pair(repository, device), *layer);
  return *layer;
}

Status use_stream(std::int32_t device_id, void* stream) {
  auto& all = loaded();
  std::scoped_lock lock(all.mutex);
  if (all.libraries.empty())
    return fail(Error(Errc::unsupported, "no kernel is loaded, so there is nothing that has a stream")
                    .with_hint("call `use_stream` after `kernelize`"));
  // Libraries with the same provider share its notion of the stream.
  for (const auto& [path, library] : all.libraries)
    library.set_stream(device_id, stream);
  return {};
}

}  // namespace kernels::layers
