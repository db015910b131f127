/* narrow convert: a model in another format. */
#include "cli.h"

int cmd_convert(cli *c) {
    nrw_model *m = NULL;
    int status = cli_open(c);
    if (status == EXIT_DONE) status = cli_load(c, c->positional[0], &m);
    if (status == EXIT_DONE) status = cli_shapes(c, m);
    if (status != EXIT_DONE) {
        nrw_model_free(m);
        return status;
    }
    nrw_save_options o = {.onnx_style = (nrw_onnx_style)cli_choice(c, "style", NRW_ONNX_QDQ)};
    if (nrw_save(m, c->positional[1], &o, &c->error) != NRW_OK) status = cli_failed(c);
    if (status == EXIT_DONE && c->json)
        cli_print_json(json_pack("{s:s, s:I}", "output", c->positional[1], "size_bytes",
                                 (json_int_t)cli_file_size(c->positional[1])));
    nrw_model_free(m);
    return status;
}
