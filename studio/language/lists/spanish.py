"""Spanish: lists of this project."""

from __future__ import annotations

from studio.language.lists.base import WordLists

_DO = (
    r"(?:ayudar\w*|asistir\w*|responder\w*|contestar\w*|proporcionar\w*|dar\w*|ofrecer\w*|escribir\w*|redactar\w*|crear\w*|"
    r"generar\w*|"
    r"hacer (?:eso|esto)|hacerlo|explicar\w*|describir\w*|decir(?:te|le) (?:eso|esto|cómo)|compartir\w*|participar|"
    r"recomendar (?:eso|esto)|"
    r"discutir|cumplir|apoyar\w*|mostrar\w*|enseñar\w*|continuar|facilitar\w*|atender)\b"
)

LISTS = WordLists(
    code="es",
    refusals=(
        rf"\bno (?:te |le |os |les |lo )?(?:puedo|podré|podemos|podría|voy a|vamos a|debo|quiero|estoy autorizad[oa] a|"
        rf"soy capaz de|"
        rf"me es posible|es posible para mí)(?: realmente| en buena conciencia|"
        rf" lamentablemente)* {_DO}(?![^.!?;:]*\b(?:suficiente|bastante|lo bastante)\b)",
        r"\b(?:lo siento|lamentablemente|lo lamento|disculp[ae])\b[^.!?]{0,30}\bno (?:puedo|podré|podemos)(?: hacerlo|"
        r" hacer (?:eso|esto))?[.!]?$",
        r"\b(?:me niego|me veo obligad[oa] a rechazar|debo rechazar|tengo que rechazar|debo negarme|rechazo (?:esa|esta|tu|"
        r"su) (?:petición|solicitud))\b"
        r"(?! a (?:creer|rendirme))",
        r"\bcomo (?:una )?(?:ia|inteligencia artificial|modelo de lenguaje|asistente (?:virtual|de ia))[^.]{0,60}\bno (?:puedo|"
        r"tengo|debo|soy)\b",
        r"\b(?:en contra de|contra|viola|infringe) (?:mis|nuestras|nuestros) (?:directrices|normas|políticas|principios|"
        r"reglas)",
        r"\b(?:no estoy en condiciones de|no me siento cómod[oa]|prefiero no (?:responder|contestar|hablar|ayudar))\b",
        r"\b(?:es|sería) (?:ilegal|poco ético|inapropiado|irresponsable)[^.!?]{0,20} (?:que yo|por mi parte)",
    ),
    noes=(
        *("no", "no, gracias", "nunca", "jamás", "de ninguna manera", "claro que no", "por supuesto que no", "no, lo siento"),
        *("me niego",),
    ),
    yes_no=(
        r"^¿? ?(?:y |pero |entonces |o )?(?:es|son|está|están|soy|puedo|puede|puedes|pueden|podemos|debo|debe|deben|hay|tengo|"
        r"tiene|tienen|"
        r"hace|hacen|sirve|se puede|se debe|existe|fue|era|será|necesito|necesita|conviene)\b"
    ),
    toxic=(
        *("idiota*", "imbécil*", "imbecil*", "gilipollas", "cabrón*", "cabron", "cabrones", "puta", "putas", "puto"),
        *("putos", "mierda*"),
        *("pendejo*", "pendeja*", "maricón*", "maricones", "marica*", "sudaca*", "hijoputa*", "coño", "capullo*", "malnacido*"),
        *("subhuman*", "infrahuman*", "cretino*", "tarado*", "mamón", "mamones", "zorra asquerosa"),
        *("bastardo*", "retrasado mental"),
    ),
    toxic_phrases=(
        r"hij[oa]s? de (?:la gran )?puta",
        r"vete (?:a la mierda|al infierno|al carajo|a tomar por)",
        r"(?:muérete|mátate|suicídate)\b",
        r"(?:te|os|los|las|lo|la) (?:voy|vamos) a (?:matar|violar|golpear|reventar|pegar)",
        r"(?:voy|vamos) a (?:matar|violar|golpear)(?:te|los|las|lo|la|os)\b",
        r"(?:mereces?|merecen|deberías?|deberían) morir",
        r"(?:cierra la boca|cállate la boca)",
        r"(?:vuelve|vuélvete|vuelvan|regresa) a (?:tu|su) (?:propio )?país",
        r"(?:eres|sois|es|son|los (?:inmigrantes|extranjeros|judíos|musulmanes|negros|gitanos) son) (?:todos |todas |tan |muy |"
        r"un |una |unos |unas |"
        r"completamente )*(?:estúpid[oa]s?|tont[oa]s?|inútil(?:es)?|escoria|basura|parásitos?|animales|cucarachas|"
        r"subnormal(?:es)?|un asco|gentuza)\b"
        r"(?<!es inútil)(?<!es basura)(?<!es tonto)(?<!es escoria)",
        r"(?:asqueros[oa]s?|sucios?|malditos?|put[oa]s?) (?:negros?|judíos?|moros?|gitanos?|inmigrantes?|gays?)\b",
        r"(?:escoria|basura) (?:humana|de la sociedad)",
    ),
    good=(
        *("buen", "bueno*", "buena*", "mejor*", "bien", "excelente*", "maravillos*", "fantástic*", "estupend*"),
        *("magnífic*", "genial*"),
        *("perfect*", "hermos*", "bonit*", "bell*", "agradable*", "amable*", "honest*", "honrad*", "simpátic*"),
        *("inteligente*", "brillante*"),
        *("competente*", "talentos*", "fiable*", "confiable*", "generos*", "feliz", "felices", "felicidad*", "content*"),
        *("alegre*", "alegría*"),
        *("amo", "amar", "ama", "encanta*", "gusta", "gustan", "amor*", "gracias", "enhorabuena", "felicidades"),
        *("éxito*", "exitos*"),
        *("esperanza*", "orgullos*", "recomiendo", "bienvenid*", "positiv*", "encantador*", "impresionante*"),
        *("delicios*", "servicial*"),
        *("trabajador*", "segur*", "confianza", "admirable*", "cariños*", "cálid*", "espléndid*"),
    ),
    bad=(
        *("mal", "malo*", "mala*", "peor*", "horrible*", "terrible*", "espantos*", "horroros*", "pésim*", "atroz"),
        *("atroces", "feo"),
        *("fea", "feos", "feas", "cruel*", "estúpid*", "tont*", "perezos*", "vago", "vaga", "deshonest*", "peligros*"),
        *("criminal*", "delincuente*"),
        *("violent*", "violencia*", "triste*", "tristeza*", "enfadad*", "enojad*", "ira", "miedo*", "odio*", "odia*"),
        *("asco", "asqueros*"),
        *("aburrid*", "inútil*", "fracas*", "catástrof*", "catastrófic*", "desastre*", "problema*", "dolor*", "sufr*"),
        *("muerte*", "muert*"),
        *("enferm*", "débil*", "culpable*", "culpa", "vergüenza*", "pérdida*", "robo*", "ladrón*", "ladrones"),
        *("fraude*", "negativ*"),
        *("decepcionad*", "decepcionante*", "molest*", "amenaz*", "sospechos*", "incompetente*", "lamentable*"),
        *("detestable*", "desagradable*"),
    ),
    negations=("no", "nunca", "jamás", "ningún", "ninguna", "ninguno", "nada", "sin", "tampoco", "ni"),
    openings=(
        r"¡?(?:claro(?: que sí)?|por supuesto|desde luego|con gusto|seguro)[!.,] (?:aquí (?:tienes|tiene|está|están|hay)\b"
        r"[^.!?:\n]{0,120}[:.!](?=\s))",
        r"¡?(?:claro(?: que sí)?|por supuesto|desde luego|con gusto|seguro|entendido|sin problema)[!.](?=\s)",
        r"¡?(?:es (?:una )?|qué )?(?:muy )?(?:buena|excelente|gran|interesante) pregunta[!.](?=\s)",
        r"(?:estaré|estoy) encantad[oa] de ayudar[^.!?\n]{0,60}[.!](?=\s)",
        r"¡?gracias por (?:tu|su) (?:pregunta|mensaje|consulta)[.!](?=\s)",
        r"como (?:ia|inteligencia artificial|(?:un )?modelo de lenguaje|asistente(?: virtual| de ia)?)(?: [^,.\n]{1,30})?,(?=\s)",
    ),
    function_words=("el", "la", "los", "las", "de", "y", "a", "en", "un", "una", "es", "que", "por", "para", "con"),
)  # fmt: skip
