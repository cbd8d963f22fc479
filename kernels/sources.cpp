// Which sources the addon was built from: native-addon.ts refuses one that is older or newer than the sources beside it.
namespace cria {

extern const char* const sources_hash;
const char* const sources_hash = CRIA_SOURCES_HASH;  // by build.ts

}  // namespace cria
