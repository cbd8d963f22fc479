// Values across the border to JavaScript: read with a check, wrapped, and exceptions turned into JavaScript's.
#pragma once
#include <node_api.h>

#include <memory>
#include <stdexcept>
#include <string>

#include "program.h"

namespace cria {

inline void check(napi_status status, const char* what) {
  if (status != napi_ok) throw std::invalid_argument(std::string("internal: the native addon ") + what);
}

template <size_t N> struct Arguments {
  napi_value value[N];
  Arguments(napi_env env, napi_callback_info info) {
    size_t count = N;
    check(napi_get_cb_info(env, info, &count, value, nullptr, nullptr), "could not read its arguments");
    if (count < N) throw std::invalid_argument("internal: the native addon was called with too few arguments");
  }
};

inline double number_of(napi_env env, napi_value value) {
  double x = 0;
  check(napi_get_value_double(env, value, &x), "expected a number");
  return x;
}

inline int64_t size_of(napi_env env, napi_value value) {
  const double x = number_of(env, value);
  if (!(x >= 0 && x <= 0x1p50)) throw std::invalid_argument("internal: the native addon expected a size");
  return static_cast<int64_t>(x);
}

inline std::string string_of(napi_env env, napi_value value) {
  char text[64];
  size_t length = 0;
  check(napi_get_value_string_utf8(env, value, text, sizeof text, &length), "expected a string");
  return std::string(text, length);
}

inline Buffer buffer_of(napi_env env, napi_value value) {
  void* data = nullptr;
  size_t bytes = 0;
  check(napi_get_arraybuffer_info(env, value, &data, &bytes), "expected an ArrayBuffer");
  return {static_cast<char*>(data), static_cast<int64_t>(bytes)};
}

template <class T> T* typed_array_of(napi_env env, napi_value value, napi_typedarray_type expected, size_t* length) {
  napi_typedarray_type type;
  void* data = nullptr;
  check(napi_get_typedarray_info(env, value, &type, length, &data, nullptr, nullptr), "expected a typed array");
  if (type != expected) throw std::invalid_argument("internal: the native addon expected another typed array");
  return static_cast<T*>(data);
}

// Handles cross to JavaScript as externals that own a shared_ptr; the tag keeps one kind from passing for another.
template <class T> napi_value wrap(napi_env env, std::shared_ptr<T> handle, const napi_type_tag& tag) {
  napi_value result;
  auto* owner = new std::shared_ptr<T>(std::move(handle));
  check(napi_create_external(env, owner, [](napi_env, void* data, void*) { delete static_cast<std::shared_ptr<T>*>(data); }, nullptr, &result),
        "could not make a handle");
  check(napi_type_tag_object(env, result, &tag), "could not mark a handle");
  return result;
}

template <class T> std::shared_ptr<T> unwrap(napi_env env, napi_value value, const napi_type_tag& tag) {
  bool matches = false;
  void* data = nullptr;
  if (napi_check_object_type_tag(env, value, &tag, &matches) != napi_ok || !matches)
    throw std::invalid_argument("internal: the native addon expected another handle");
  check(napi_get_value_external(env, value, &data), "expected a handle");
  return *static_cast<std::shared_ptr<T>*>(data);
}

template <napi_callback function> napi_value guarded(napi_env env, napi_callback_info info) {
  try {
    return function(env, info);
  } catch (const std::exception& error) {
    napi_throw_error(env, nullptr, error.what());
    return nullptr;
  }
}

}  // namespace cria
