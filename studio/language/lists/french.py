"""French: lists of this project."""

from __future__ import annotations

from studio.language.lists.base import WordLists

_DO = (
    r"(?:aider|assister|répondre|fournir|donner|proposer|écrire|rédiger|créer|générer|faire (?:cela|ça|ceci)|le faire|"
    r"expliquer|"
    r"décrire|dire (?:cela|ça)|partager|participer|recommander (?:cela|ça)|discuter|satisfaire|traiter|soutenir|montrer|"
    r"apprendre|accéder|encourager|communiquer|divulguer|indiquer|poursuivre)\b"
)
_PRON = r"(?:vous |t'|te |y |en |lui |leur |l'|le |la )*"

LISTS = WordLists(
    code="fr",
    refusals=(
        rf"\b(?:je ne|je n'|nous ne) ?(?:peux|pourrai|puis|veux|vais|saurais|suis pas en mesure de|suis pas autorisée? à|"
        rf"pouvons|voulons)"
        rf"(?: malheureusement| vraiment| tout simplement| en aucun cas)*(?: pas)?(?: malheureusement|"
        rf" en toute conscience)* {_PRON}{_DO}"
        r"(?![^.!?;:]*\bassez\b)",
        r"\bje suis (?:malheureusement )?(?:dans l'impossibilité|dans l'incapacité|incapable) (?:de|d')",
        r"\b(?:désolée?|malheureusement|navrée?)\b[^.!?]{0,30}\bje ne (?:peux|pourrai|"
        r"puis) (?:malheureusement )?pas(?: le faire| faire (?:cela|ça))?[.!]?$",
        r"\bje (?:dois |me vois contrainte? de |préfère |vais )?(?:refuse|refuser|décline|décliner|m'abstenir|m'abstiens)\b"
        r"(?! de (?:croire|abandonner))",
        r"\ben tant qu'(?:ia|intelligence artificielle|assistante? (?:ia|virtuelle?)|"
        r"modèle de langage)[^.]{0,60}\bje ne (?:peux|suis|dois) ",
        r"\b(?:contraire à|contre|va à l'encontre de) (?:mes|nos) (?:directives|principes|règles|consignes)",
        r"\bil (?:est|serait) (?:illégal|contraire à l'éthique|inapproprié|irresponsable)[^.!?]{0,20} (?:de ma part|que je)",
    ),
    noes=(
        *("non", "non merci", "jamais", "absolument pas", "certainement pas", "hors de question", "non, désolé"),
        *("désolé, non", "je refuse"),
    ),
    yes_no=(
        r"^(?:et |mais |alors |ou )?(?:est-ce que|est-ce qu'|est-ce|est-il|est-elle|puis-je|peut-on|dois-je|doit-on|faut-il|"
        r"y a-t-il|"
        r"\w+-(?:je|tu|il|elle|on|nous|vous|ils|elles|t-il|t-elle|t-on))\b"
    ),
    toxic=(
        *("connard*", "connasse*", "salope*", "salaud*", "enculé*", "abruti", "abrutis", "abrutie*", "crétin*"),
        *("imbécile*", "putain*"),
        *("pute", "putes", "bougnoule*", "négro*", "youpin*", "sous-homme*", "raclure*", "pédé", "pédés", "tapettes", "merde"),
        *("merdeux", "merdique*", "ordure humaine", "trou du cul", "enfoiré*", "couillon*", "pétasse*"),
        *("batard", "bâtard humain"),
    ),
    toxic_phrases=(
        r"(?:ferme )?ta gueule",
        r"va (?:te faire|mourir|crever|en enfer)",
        r"nique (?:ta|sa|leur|les)",
        r"fils de pute",
        r"(?:espèce|bande) d(?:e |')(?:idiot|con|conne|cons|débile|imbécile|merde|crétin|abruti|salaud)\w*",
        r"(?:je vais|nous allons) (?:te|vous|le|la|les) (?:tuer|frapper|violer|buter|crever)",
        r"(?:tu|vous|ils|elles) (?:devrais|devriez|devraient|mérites? de|méritez de|méritent de) (?:mourir|crever)",
        r"(?:suicide-toi|tue-toi)",
        r"(?:rentre|retourne|rentrez|retournez) (?:dans ton|dans votre|dans leur|chez toi|chez vous)(?: pays)?",
        r"sales? (?:arabes?|juifs?|noirs?|juives?|étrangers?|immigrés?|pédés?|race|chiens?|gosses?)\b",
        r"(?:tu es|t'es|vous êtes|il est|elle est|ils sont|elles sont|les (?:immigrés|étrangers|femmes|juifs|musulmans|"
        r"arabes) sont) "
        r"(?:vraiment |tous |toutes |si |trop |un |une |des |complètement |que des )*(?:idiot|con|conne|cons|stupide|bête|"
        r"débile|nul|nulle|"
        r"parasite|animal|animaux|cafard|ordure|racaille|moins que rien)s?\b",
    ),
    good=(
        *("bon", "bonne*", "bons", "meilleur*", "bien", "mieux", "excellent*", "merveilleu*", "fantastique*", "formidable*"),
        *("magnifique*", "génial*", "superbe*", "parfait*", "beau", "belle*", "beaux", "agréable*", "gentil*"),
        *("aimable*", "honnête*"),
        *("sympathique*", "sympa*", "intelligent*", "brillant*", "compétent*", "talentueu*", "fiable*", "généreu*"),
        *("heureu*", "content*"),
        *("ravi*", "joie*", "joyeu*", "aime", "aimer", "aiment", "adore*", "amour*", "merci", "bravo"),
        *("félicitations", "succès"),
        *("réussi*", "réussite*", "espoir*", "fier", "fière*", "recommande", "bienvenue", "positif*", "positive*", "charmant*"),
        *("impressionnant*", "délicieu*", "serviable*", "chaleureu*", "sûr", "sûre", "confiance", "admirable*"),
    ),
    bad=(
        *("mauvais*", "pire*", "mal", "horrible*", "affreu*", "terrible*", "épouvantable*", "atroce*", "abominable*", "laid*"),
        *("moche*", "méchant*", "cruel*", "bête", "bêtes", "stupide*", "idiot*", "paresseu*", "malhonnête*"),
        *("dangereu*", "criminel*"),
        *("violent*", "violence*", "triste*", "tristesse*", "colère*", "peur*", "haine*", "déteste*", "hais"),
        *("dégoûtant*", "dégueulasse*"),
        *("ennuyeu*", "inutile*", "nul", "nulle*", "échec*", "échoue*", "catastroph*", "problème*", "douleur*"),
        *("souffr*", "mort"),
        *("morte", "malade*", "faible*", "coupable*", "honte*", "perte*", "vol", "voleu*", "fraude*", "négatif*"),
        *("négative*", "déçu*"),
        *("décevant*", "décevante", "pénible*", "menace*", "menaçant*", "suspect*", "incompétent*"),
        *("lamentable*", "détestable*"),
    ),
    negations=("ne", "n", "pas", "jamais", "aucun", "aucune", "sans", "ni"),
    openings=(
        r"(?:bien sûr|certainement|avec plaisir|d'accord|absolument) ?[!.,] (?:voici\b[^.!?:\n]{0,120} ?[:.!](?=\s))",
        r"(?:bien sûr|certainement|avec plaisir|d'accord|absolument|pas de problème) ?[!.](?=\s)",
        r"(?:c'est (?:une )?)?(?:très )?(?:bonne|excellente|intéressante) question ?[!.](?=\s)",
        r"je (?:suis|serais|serai) (?:ravie?|heureuse|heureux) de (?:vous|t')[^.!?\n]{0,60}[.!](?=\s)",
        r"merci (?:pour|de) (?:votre|ta) (?:question|message|demande) ?[.!](?=\s)",
        r"en tant qu(?:e |')(?:ia|intelligence artificielle|modèle de (?:langage|langue)|assistant(?: ia| virtuel)?)"
        r"(?: [^,.\n]{1,30})?,(?=\s)",
    ),
    function_words=("le", "la", "les", "de", "des", "et", "à", "en", "un", "une", "est", "que", "pour", "dans"),
)  # fmt: skip
